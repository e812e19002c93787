"""Where commands write, by one rule: without --overwrite an output that exists is refused, and nothing is computed."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from vgg_zoo_cli.photos import each_photo, is_address


def check_file(path: Path, suffixes: Sequence[str], overwrite: bool) -> Path:
    """A file that can be written.

    Args:
        path: As it was typed.
        suffixes: One of which it must end in.
        overwrite: It may exist.

    Raises:
        ValueError: Another suffix, no such folder, a folder of this name, or a file that is there.
    """
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} is there already; name another file, or replace it with --overwrite")
    return path


def pictures(words: Sequence[str], output: Path | None, what: str, overwrite: bool) -> list[tuple[str, Path]]:
    """Every photo with the PNG that a command writes of it.

    Args:
        words: The photos as they were typed.
        output: A file ending in .png, for one photo; or a folder, which is made. None: "PHOTO.what.png" here.
        what: The middle of that name.
        overwrite: Pictures may exist.

    Raises:
        ValueError: One file for several photos, two photos with one picture, a photo that would be replaced, or a
            picture that is there.
    """
    found = list(each_photo(words))
    if output is not None and output.suffix.lower() == ".png":
        if len(found) != 1:
            raise ValueError(f"--output {output} is one file for {len(found)} photos; name a folder")
        targets = [(found[0][0], output)]
    elif output is not None and output.exists() and not output.is_dir():
        raise ValueError(f"--output {output} is a file; name a folder, or a file that ends in .png")
    else:
        within = output or Path()
        places = (place if output else Path(place.name) for _, place in found)
        targets = [
            (photo, within / place.with_name(f"{place.stem}.{what}.png"))
            for (photo, _), place in zip(found, places, strict=True)
        ]
    _check_pictures(targets, output, overwrite)
    return targets


def _check_pictures(targets: Iterable[tuple[str, Path]], output: Path | None, overwrite: bool) -> None:
    of: dict[Path, str] = {}
    for photo, target in targets:
        if target in of:
            raise ValueError(f"{of[target]} and {photo} would both become {target}; give two commands")
        of[target] = photo
        if target.exists() and not is_address(photo) and Path(photo).exists() and target.samefile(photo):
            raise ValueError(f"{target} is the photo; name another file with --output")
        if output is None or target == output:
            check_file(target, [".png"], overwrite)
        elif target.exists() and not overwrite:
            raise ValueError(f"{target} is there already; name another folder, or replace it with --overwrite")
