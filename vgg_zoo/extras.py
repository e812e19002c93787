"""How to install what a part of the package needs and the package alone does not bring."""

import shlex
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def install(*extras: str) -> str:
    """The command that installs extras, for the end of an error message.

    A checkout installs itself: before the first release no index has the package's name. A package without its checkout
    is installed already, so that pip looks for the extras' own packages alone.

    Args:
        *extras: Names of pyproject.toml's `optional-dependencies`.
    """
    names = f"[{','.join(extras)}]"
    if not (_ROOT / "pyproject.toml").is_file():
        return f"pip install 'vgg-zoo{names}'"
    folder = "." if Path.cwd() == _ROOT else _ROOT
    return f"pip install -e {shlex.quote(f'{folder}{names}')}"
