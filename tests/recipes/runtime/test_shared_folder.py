"""What one machine wrote, as another one sees it."""

from itertools import count
from pathlib import Path

import pytest

from recipes.runtime import shared_folder
from recipes.runtime.shared_folder import wait_for


def test_what_comes_late_is_waited_for(tmp_path: Path) -> None:
    """As NFS brings news of a folder."""
    looks = count(1)
    wait_for(lambda: next(looks) == 2, "process 0 does not see what another one", tmp_path)
    assert next(looks) == 3


def test_what_never_comes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the folder and the way out."""
    monkeypatch.setattr(shared_folder, "PATIENCE", 0)
    message = f"^process 0 does not see what another one wrote into {tmp_path}: .* all machines share; name one with --"
    with pytest.raises(ValueError, match=message):
        wait_for(lambda: False, "process 0 does not see what another one", tmp_path)
