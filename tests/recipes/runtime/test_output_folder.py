"""The folder that a command writes to: a run.json that is damaged, or of something else."""

import json
from pathlib import Path

import pytest

from recipes.runtime.output_folder import OutputFolder

IDENTITY = {"recipe": "tiny", "settings": {"scales": (32, 64)}, "classes": ["a", "b"], "images": 7}


def test_the_same_run_is_begun_again(tmp_path: Path) -> None:
    """As it was written; another one is refused by what differs."""
    folder = OutputFolder(tmp_path / "out")
    for _ in range(2):
        folder.begin(IDENTITY, overwrite=False)
    message = r"holds a run of something else \(images is 7 there and 8 now; settings.scales is \[32, 64\] there"
    with pytest.raises(ValueError, match=message):
        folder.begin({**IDENTITY, "settings": {"scales": (32, 48)}, "images": 8}, overwrite=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps(IDENTITY)[:30], r"is not JSON \(.*: cut short or damaged\)"),
        ("", r"is not JSON \(it is empty\)"),
        ("[]", "must be an object, and is a list"),
        ("{}", "lacks classes, images, recipe, settings"),
        ('{"recipe": "tiny", "images": 7, "settings": {}}', "lacks classes"),
    ],
)
def test_a_damaged_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """By the file, with the way out, which works; nothing is changed before."""
    folder = OutputFolder(tmp_path)
    folder.identity.write_text(text)
    with pytest.raises(ValueError, match=f"run.json {message}; choose another --output than .*, or .*--overwrite$"):
        folder.begin(IDENTITY, overwrite=False)
    assert folder.identity.read_text() == text
    folder.begin(IDENTITY, overwrite=True)
    assert json.loads(folder.identity.read_text())["images"] == 7
