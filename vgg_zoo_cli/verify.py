"""`vgg-zoo verify NAME|FOLDER...`: check that weights are, byte for byte, those that were published or trained."""

from collections.abc import Sequence
from pathlib import Path

import click

from vgg_zoo_cli import look
from vgg_zoo_cli.command import Command
from vgg_zoo_cli.options import Model


@click.command("verify", cls=Command, short_help="Check that weights are the published ones.")
@click.argument("sources", nargs=-1, required=True, type=Model(), metavar="NAME|FOLDER...")
def command(sources: Sequence[str]) -> int:
    """Check that weights are, byte for byte, those that were published or trained.

    The cached weights of a name are hashed and compared with the published hash; altered or missing weights are
    downloaded. The weights of a folder are compared with the hash in its results.json and with those of the published
    nets, and loaded: every tensor must fit the net and be finite.

    \b
    vgg-zoo verify vgg_d.tv_in1k runs/digits
    """
    look.title("verify", *sources)
    from vgg_zoo_cli.nets import out_of_reach

    def wrong(text: str) -> None:
        click.echo(f"error: {' '.join(text.split())}", err=True)

    rows = []
    for source in sources:
        try:
            file, sha256, told = _verified(source)
        except ValueError as error:
            wrong(f"{source}: {error}")
        except OSError as error:
            wrong(out_of_reach(source, error))
        else:
            rows.append((source, sha256, told, str(file)))
    if rows:
        look.table(("source", "sha256", "verified", "file"), rows)
    return int(len(rows) < len(sources))


def _verified(source: str) -> tuple[Path, str, str]:
    """The file, its sha256, and what this was compared with.

    Raises:
        ValueError: The hash or the content is wrong.
        OSError: The file cannot be downloaded.
    """
    from vgg_zoo.pretrained import verify_weights
    from vgg_zoo.weights.files import file_digest

    if not Path(source).is_dir():
        file = verify_weights(source)
        return file, file_digest(file), "as its source published it"
    return _verified_folder(Path(source))


def _verified_folder(folder: Path) -> tuple[Path, str, str]:
    from vgg_zoo.pretrained import pretrained_net
    from vgg_zoo.results import training_of
    from vgg_zoo.weights.files import file_digest
    from vgg_zoo.weights.folder import WEIGHTS
    from vgg_zoo.weights.published import PUBLISHED

    net = pretrained_net(folder)
    if wrong := [name for name, value in net.state_dict().items() if not value.isfinite().all()]:
        raise ValueError(f"not finite: {', '.join(wrong[:4])}; restore the file")
    file = folder / WEIGHTS
    if not file.is_file():
        raise ValueError(f"it has no {WEIGHTS}, the only kind of file that this command hashes; save the net again")
    sha256 = file_digest(file)
    expected = (training_of(folder) or {}).get("weights_sha256")
    if expected is not None and expected != sha256:
        raise ValueError(f"the sha256 of {file} is {sha256}, but its results.json says {expected}: it is altered")
    published = [name for name, each in PUBLISHED.items() if each.sha256 == sha256]
    said = ["as results.json says"] if expected else []
    said += [f"the published {name}" for name in published]
    return file, sha256, " and ".join(said) or "fits its net; no hash of it is known"
