"""`python -m hub COMMAND`: publish trained nets on the Hugging Face Hub, and pin them in the package.

    python -m hub build runs/d --repo me/vgg_d.s256_in1k@v1 --results runs/d_dense runs/d_crops --license apache-2.0
    python -m hub check runs/hub/vgg_d.s256_in1k
    python -m hub plan runs/hub/vgg_d.s256_in1k
    python -m hub publish runs/hub/vgg_d.s256_in1k
    python -m hub verify runs/hub/vgg_d.s256_in1k
    python -m hub lock runs/hub/vgg_d.s256_in1k

`build`, `check` and `lock` touch no network. Only `publish` sends anything. The token is huggingface_hub's own: that of
`hf auth login`, or of HF_TOKEN.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError

from hub.build import build
from hub.check import check
from hub.lock import lock
from hub.publish import Plan, PublishError, plan, publish
from hub.repository.address import parse_address
from hub.repository.files import SUMS, files_of
from hub.repository.remote import explained
from hub.verify import verify
from vgg_zoo.weights.published import LOCK


def _build(options: argparse.Namespace) -> None:
    address = parse_address(options.repo)
    output = options.output or Path("runs/hub") / address.name
    build(options.run, address, output, options.results, options.license, options.description)
    print(f"built {output} for {address}: {', '.join(files_of(output))}")


def _check(options: argparse.Namespace) -> None:
    address = check(options.folder)
    print(f"{options.folder} may be published as {address}")


def _plan(options: argparse.Namespace) -> None:
    check(options.folder)
    for line in _in_words(plan(options.folder, HfApi()), options.folder):
        print(line)


def _in_words(found: Plan, folder: Path) -> list[str]:
    repository, version = found.address.repository, found.address.version
    if found.published:
        tagged = "" if found.tag else f"; the git tag {version} would be made"
        return [f"{repository} is up to date: commit {found.published}{tagged}"]
    if found.tag_differs:
        return [f"{repository} has a git tag {version} of another content ({found.tag}): publish would refuse"]
    state = f"at {found.head}" if found.head else "not there, or not yours to see; it would be made"
    lines = [f"{repository} is {state}"]
    lines += [f"  would add     {name} ({(folder / name).stat().st_size:,} bytes)" for name in found.changes.added]
    lines += [f"  would change  {name} ({(folder / name).stat().st_size:,} bytes)" for name in found.changes.changed]
    lines += [f"  would remove  {name}" for name in found.changes.removed]
    return [*lines, f"in one commit with the git tag {version}. Nothing was sent"]


def _publish(options: argparse.Namespace) -> None:
    check(options.folder)
    print(publish(options.folder, HfApi(), pull_request=options.pr, private=options.private))
    if options.lock:
        _verify(options)
        _lock(options)


def _verify(options: argparse.Namespace) -> None:
    print(verify(options.folder, HfApi()))


def _lock(options: argparse.Namespace) -> None:
    print(lock(options.folder, options.lock_file))


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m hub", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("build", help="a trained net and its results → the folder of a repository")
    command.add_argument("run", type=Path, help="folder of a trained or converted net")
    command.add_argument("--repo", required=True, metavar="ORG/NET.TAG[@VERSION]", help="where it is to go; @v1")
    command.add_argument(
        "--results",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="outputs of recipes/evaluate.py, or of recipes/localise.py for a net that predicts boxes",
    )
    command.add_argument("--license", help="of the weights; as the net's folder says where it does")
    command.add_argument("--description", help="a sentence on where the weights come from; likewise")
    command.add_argument("--output", type=Path, help="runs/hub/NET.TAG by default; an older build is replaced")
    command.set_defaults(do=_build)

    texts = {
        "check": ("may the folder be published?", _check),
        "plan": ("what publishing would change; sends nothing", _plan),
        "publish": ("send the folder to the Hub, in one commit", _publish),
        "verify": ("download what was published into a fresh cache, and compare", _verify),
        "lock": ("write the publication into the package's lock file", _lock),
    }
    for name, (text, do) in texts.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("folder", type=Path, help=f"that `build` wrote (it has a {SUMS})")
        command.set_defaults(do=do, lock=False)
        if name == "publish":
            command.add_argument("--private", action="store_true", help="a repository that has to be made is private")
            either = command.add_mutually_exclusive_group()
            either.add_argument("--pr", action="store_true", help="open a pull request, and leave the main branch")
            either.add_argument("--lock", action="store_true", help="`verify` and `lock` when it is published")
        if name in ("publish", "lock"):
            command.add_argument("--lock-file", type=Path, default=LOCK, help="the package's by default")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; what goes wrong ends in one line and 1."""
    options = arguments(words)
    try:
        options.do(options)
    except (ValueError, OSError, HTTPError, RuntimeError, PublishError) as error:  # the latter two are the client's
        print(f"error: {explained(error) if isinstance(error, HTTPError) else error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
