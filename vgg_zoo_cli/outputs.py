"""The outputs of commands. Without --overwrite, an existing output is refused before anything is computed."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from vgg_zoo_cli.photos import each_photo, is_address


def check_file(path: Path, suffixes: Sequence[str], overwrite: bool) -> Path:
    """A file that can be written.

    Args:
        path: The path as it was typed.
        suffixes: It must end in one of these.
        overwrite: Accept an existing file.

    Raises:
        ValueError: The suffix is another one, the folder does not exist, the path is a folder, or the file exists.
    """
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already; name another file, or replace it with --overwrite")
    return path


def pictures(words: Sequence[str], output: Path | None, what: str, overwrite: bool) -> list[tuple[str, Path]]:
    """Every photo with the PNG that a command writes for it.

    Args:
        words: The photos as they were typed.
        output: A file ending in .png, for one photo; or a folder, which is created. None: "PHOTO.what.png" in the
            current folder.
        what: The middle of this name.
        overwrite: Accept existing pictures.

    Raises:
        ValueError: There is one file for several photos, two photos have the same picture, a photo would be replaced,
            or a picture exists.
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
            raise ValueError(f"{target} exists already; name another folder, or replace it with --overwrite")
