"""How commands are called and how they end, in this process."""

import argparse
import errno
import sys
from collections.abc import Sequence

import pytest

from command_line.parser import MistypedError
from recipes.runtime.command import command
from recipes.runtime.files import provenance


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """One option."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int, default=0)
    return parser.parse_args(arguments)


def test_a_command_records_the_arguments_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the call, else those of the process, which are as before afterwards."""
    monkeypatch.setattr(sys, "argv", ["typed.py", "--number", "1"])
    recorded = []

    def run(args: argparse.Namespace) -> None:
        recorded.append((args.number, provenance()["command"][1:]))

    assert command(run, parse)(None) == 0
    assert command(run, parse)(["--number", "2"]) == 0
    assert recorded == [(1, ["typed.py", "--number", "1"]), (2, [__file__, "--number", "2"])]
    assert sys.argv == ["typed.py", "--number", "1"]


@pytest.mark.parametrize("error", [ValueError("no such thing"), FileNotFoundError(2, "No such file", "x")])
def test_what_the_user_can_correct_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, with exit code 1; a command's own code is passed on, and any other error is a traceback."""

    def run(args: argparse.Namespace) -> int:
        raise error

    assert command(run, parse)([]) == 1
    assert capsys.readouterr().err == f"error: {error}\n"
    assert command(lambda args: 143, parse)([]) == 143
    with pytest.raises(ZeroDivisionError):
        command(lambda args: 1 // args.number, parse)([])
    with pytest.raises(SystemExit, match=r"^2$"):
        command(lambda args: 0, parse)(["--number", "x"])


def test_what_is_mistyped_and_found_late_has_its_code_too(capsys: pytest.CaptureFixture[str]) -> None:
    """2, as what the parser finds."""

    def run(args: argparse.Namespace) -> int:
        raise MistypedError("no such thing")

    assert command(run, parse)([]) == 2
    assert capsys.readouterr().err == "error: no such thing\n"


def test_a_full_disk_has_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Also if another library wrote a file that is unknown here."""

    def run(args: argparse.Namespace) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert command(run, parse)([]) == 1
    expected = (
        "error: [Errno 28] No space left on device; free some space, and give the same command again: a run resumes"
    )
    assert capsys.readouterr().err == f"{expected}\n"
