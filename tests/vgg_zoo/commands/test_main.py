"""`vgg-zoo COMMAND`: which commands there are, and what is said of one that is not."""

import pytest

from vgg_zoo.__main__ import COMMANDS, main


def test_without_a_command_the_nets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """As by `list`."""
    assert main([]) == main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]
    assert lines[-1].startswith("vgg_e ")


@pytest.mark.parametrize("word", ["bogus", "--lst", "Explain"])
def test_an_unknown_command_is_an_error(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the word, the options, and the exit code of a wrong command line."""
    assert main([word]) == 2
    said = capsys.readouterr()
    assert said.err == f"error: unknown command {word!r}; choose from list, explain, localise, convert\n"
    assert said.out == ""


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With what it does."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name == "list" or f"vgg-zoo {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the name that users type."""
    with pytest.raises(SystemExit, match=r"^0$"):
        main([name, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: vgg-zoo {name} ")
