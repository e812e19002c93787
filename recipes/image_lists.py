"""Lists of images, one a line, as VOC and ILSVRC have them in ImageSets."""

from pathlib import Path


def listed_images(file: Path, numbered: bool = False) -> list[str]:
    """The images of a list, in its order.

    Args:
        file: Lines "name", or "folder/name", without the file's ending; empty ones are passed over.
        numbered: Each line may have a number behind, which ILSVRC's have.

    Raises:
        ValueError: No file, nothing in it, a line of another form, a path out of the folder, or an image twice.
    """
    if not file.is_file():
        raise ValueError(f"{file} is {'no file' if file.exists() else 'missing'}; expected a list of images")
    found: dict[str, None] = {}
    for place, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        plain = len(words) == 1 or (numbered and len(words) == 2 and words[1].isdecimal())
        if not plain or {"", ".", ".."}.intersection(words[0].split("/")) or "\\" in words[0] or "\0" in words[0]:
            form = "name number" if numbered else "name"
            raise ValueError(f"{file}, line {place}: expected {form!r}, got {line!r}")
        if words[0] in found:
            raise ValueError(f"{file}, line {place}: {words[0]!r} is there twice")
        found[words[0]] = None
    if not found:
        raise ValueError(f"{file} is empty")
    return list(found)
