"""mkdocs' hook: what the site shows beside docs/*.md, taken from where it is, so that nothing is kept twice.

A file outside of docs/ that a page links to has on the site the path that it has in the repository: CHANGELOG.md and
benchmarks/results/*.md are pages, what is no Markdown is a file. A notebook, which is kept without outputs, is a page
of its cells. So a link that leads somewhere in the repository leads there on the site.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_TARGET = re.compile(r"(?<=\]\()(?!\w+:)[^)#\s]+")
"""Of a link, [text](target#anchor), that is no address."""


def on_files(files: Files, config: Any) -> Files:
    """Add the notebooks, the changelog, and all that pages outside of docs/ are linked from."""
    root = Path(config.docs_dir).parent
    for notebook in sorted(root.glob("docs/notebooks/*.ipynb")):
        files.append(File.generated(config, _place(notebook.relative_to(root).as_posix()), content=_cells(notebook)))
    waiting, seen = ["CHANGELOG.md", *(f"docs/{page.src_uri}" for page in files.documentation_pages())], set()
    while waiting:
        path = waiting.pop()
        if path in seen or not _is_ours(root, path):
            continue
        seen.add(path)
        if not path.startswith("docs/"):
            files.append(File.generated(config, _place(path), abs_src_path=str(root / path)))
        if path.endswith(".md"):
            waiting += _linked(path, (root / path).read_text())
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn the links of the repository into those of the site."""
    root, file = Path(config.docs_dir).parent, page.file
    if file.abs_src_path is None:  # a notebook's, whose links are those of a page in its place
        return markdown
    source = Path(file.abs_src_path).relative_to(root).as_posix()

    def on_site(found: re.Match[str]) -> str:
        target = _resolved(source, found[0])
        return (
            posixpath.relpath(_place(target), posixpath.dirname(file.src_uri)) if _is_ours(root, target) else found[0]
        )

    return _TARGET.sub(on_site, markdown)


def _is_ours(root: Path, path: str) -> bool:
    """Whether a path of a link is a file of the repository, not of what lies beside it."""
    return (root / path).is_file() and (root / path).resolve().is_relative_to(root.resolve())


def _linked(path: str, text: str) -> Iterator[str]:
    return (_resolved(path, target) for target in _TARGET.findall(text))


def _resolved(path: str, target: str) -> str:
    """A link's target as a path in the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def _place(path: str) -> str:
    """On the site, which has no hidden folders, of a file of the repository."""
    return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/")).lstrip(".")


def _cells(notebook: Path) -> str:
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook.read_text())["cells"]]
    return "\n\n".join(f"```python\n{text}\n```" if kind == "code" else text for kind, text in cells)
