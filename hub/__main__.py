"""`python -m hub COMMAND`: publish trained nets on the Hugging Face Hub, and pin them in the package.

    python -m hub build runs/d --repo me/vgg_d.s256_in1k@v1 --results runs/d_dense runs/d_crops --license apache-2.0
    python -m hub check runs/hub/vgg_d.s256_in1k
    python -m hub plan runs/hub/vgg_d.s256_in1k
    python -m hub publish runs/hub/vgg_d.s256_in1k
    python -m hub verify runs/hub/vgg_d.s256_in1k
    python -m hub lock runs/hub/vgg_d.s256_in1k

`build`, `check` and `lock` touch no network. Only `publish` sends anything. The token is huggingface_hub's own: that of
`hf auth login`, or of HF_TOKEN. What a command does is imported when its options are read.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from command_line.parser import MistypedError, Parser
from command_line.values import folder_with
from hub.repository.address import parse_address
from hub.repository.names import BUILDS, LICENCES, OF_A_NET, RESULTS, SUMS, check_output, package_lock


def _build(options: argparse.Namespace) -> None:
    from hub.build import build
    from hub.repository.files import files_of

    build(
        options.run,
        options.repo,
        options.output,
        options.results,
        options.license,
        options.description,
        overwrite=options.overwrite,
    )
    print(f"built {options.output} for {options.repo}")
    _wrote(*(options.output / name for name in files_of(options.output)))


def _check(options: argparse.Namespace) -> None:
    from hub.check import check

    print(f"{options.folder} may be published as {check(options.folder)}")


def _plan(options: argparse.Namespace) -> None:
    from huggingface_hub import HfApi

    from hub.check import check
    from hub.publish import plan

    check(options.folder)
    print("\n".join(plan(options.folder, HfApi()).in_words(options.folder)))


def _publish(options: argparse.Namespace) -> None:
    from huggingface_hub import HfApi

    from hub.check import check
    from hub.publish import publish
    from hub.repository.record import record_file

    check(options.folder)
    print(publish(options.folder, HfApi(), pull_request=options.pr, private=options.private))
    if not options.pr:
        _wrote(record_file(options.folder))
    if options.lock:
        _verify(options)
        _lock(options)


def _verify(options: argparse.Namespace) -> None:
    from huggingface_hub import HfApi

    from hub.repository.record import record_file
    from hub.verify import verify

    print(verify(options.folder, HfApi()))
    _wrote(record_file(options.folder))


def _lock(options: argparse.Namespace) -> None:
    from hub.lock import lock

    print(lock(options.folder, options.lock_file))


def _wrote(*files: Path) -> None:
    """The last lines of a command: what it wrote, beside what it found."""
    for file in files:
        print(f"wrote {file}", file=sys.stderr)


def _add_build(commands: Any) -> None:
    about = "a trained net and its results → the folder of a repository"
    command = commands.add_parser("build", help=about, description=f"{about[0].upper()}{about[1:]}.")
    command.add_argument(
        "run",
        type=folder_with(*OF_A_NET, of="the folder of a trained net"),
        help="folder of a trained or converted net",
    )
    group = command.add_argument_group("what is published")
    group.add_argument(
        "--repo",
        type=parse_address,
        required=True,
        metavar="ORG/NET.TAG[@VERSION]",
        help="where it is to go; the version is v1 by default",
    )
    group.add_argument(
        "--results",
        type=folder_with(RESULTS, of="the --output of recipes/evaluate.py or recipes/localise.py"),
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="outputs of recipes/evaluate.py, or of recipes/localise.py for a net that predicts boxes; default: the "
        "training's own test alone",
    )
    licence = group.add_argument(
        "--license",
        choices=LICENCES,
        metavar="NAME",
        help=f"of the weights: {', '.join(LICENCES)}; default: as the net's folder says",
    )
    command.add_alias("--licence", licence)
    group.add_argument(
        "--description", help="a sentence on where the weights come from; default: as the net's folder says"
    )
    group = command.add_argument_group("output")
    group.add_argument("--output", type=Path, metavar="FOLDER", help=f"of the repository; default: {BUILDS}/NET.TAG")
    group.add_argument("--overwrite", action="store_true", help="replace an older build that OUTPUT holds")
    command.set_defaults(do=_build, parser=command)


def _add_others(commands: Any) -> None:
    texts = {
        "check": ("may the folder be published?", _check),
        "plan": ("what publishing would change; sends nothing", _plan),
        "publish": ("send the folder to the Hub, in one commit", _publish),
        "verify": ("download what was published into a fresh cache, and compare", _verify),
        "lock": ("write the publication into the package's lock file", _lock),
    }
    for name, (text, do) in texts.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument(
            "folder",
            type=folder_with(of="one that `python -m hub build` wrote"),
            help=f"that `build` wrote (it has a {SUMS})",
        )
        command.set_defaults(do=do, lock=False, parser=command)
        if name == "publish":
            command.add_argument("--private", action="store_true", help="a repository that has to be made is private")
            either = command.add_mutually_exclusive_group()
            either.add_argument("--pr", action="store_true", help="open a pull request, and leave the main branch")
            either.add_argument("--lock", action="store_true", help="`verify` and `lock` when it is published")
        if name in ("publish", "lock"):
            command.add_argument(
                "--lock-file", type=Path, default=package_lock(), metavar="FILE", help="to write the publication into"
            )


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; a mistake ends the process with one line and 2."""
    parser = Parser(prog="python -m hub", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_build(commands)
    _add_others(commands)
    options = parser.parse_args(words)
    if options.do is _build:
        options.output = options.output or BUILDS / options.repo.name
        with options.parser.typed_wrong():
            check_output(options.output, options.overwrite)
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; what goes wrong ends in one line and 1."""
    options = arguments(words)
    from huggingface_hub.errors import HTTPError

    from hub.publish import PublishError
    from hub.repository.remote import explained

    try:
        options.do(options)
    except (ValueError, OSError, HTTPError, RuntimeError, PublishError) as error:  # the latter two are the client's
        print(f"error: {explained(error) if isinstance(error, HTTPError) else error}", file=sys.stderr)
        return 2 if isinstance(error, MistypedError) else 1
    except ImportError as error:
        print(f"error: {error}; what hub needs is installed by pip install -e '.[hub]'", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
