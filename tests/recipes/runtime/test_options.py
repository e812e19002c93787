"""Options that several commands have: what may be replaced by them."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from recipes.runtime.options import check_submission


@pytest.mark.parametrize("words", [["--submission", "FILE"], ["--submission=FILE"], ["--submission", "./FILE"]])
def test_a_test_may_write_its_own_submission_again(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However its command was typed; the file of another test is refused."""
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("1 2 3 4 5\n")
    Path("out").mkdir()
    Path("out/results.json").write_text(json.dumps({"command": ["recipes/evaluate.py", *words]}))
    args = Namespace(submission=Path("FILE"), output=Path("out"), overwrite=False)
    check_submission(args)
    args.output = Path("other")
    with pytest.raises(ValueError, match="FILE is there already"):
        check_submission(args)
