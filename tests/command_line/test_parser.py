"""The parser of all commands: defaults, suggestions, aliases, and one line for a mistake."""

import argparse
from importlib import import_module
from typing import Any, NoReturn

import pytest

from command_line.parser import EXIT_CODES, Parser, near


@pytest.fixture
def parser() -> Parser:
    """Options of several kinds."""
    parser = Parser(prog="tool", description="What it does.")
    parser.add_argument("--model", required=True, help="a net")
    parser.add_argument("--scales", type=int, nargs="+", default=(256, 384), help="in pixels")
    parser.add_argument("--workers", type=int, default=0, help="processes")
    parser.add_argument("--layer", help="of the net; default: the last")
    parser.add_argument("--flip", action=argparse.BooleanOptionalAction, default=True, help="mirror")
    parser.add_argument("--strict", action="store_true", help="stop")
    parser.add_alias("--licence", parser.add_argument("--license", choices=("mit", "apache-2.0"), help="of the net"))
    return parser


def refused(parser: Parser, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a mistake, whose exit code is 2."""
    with pytest.raises(SystemExit, match=r"^2$"):
        parser.parse_args(words)
    found = capsys.readouterr()
    assert found.out == ""
    (line,) = found.err.splitlines()
    return line


def test_every_default_is_in_the_help(parser: Parser) -> None:
    """Zero and several numbers too; where there is none, the text alone."""
    text = " ".join(parser.format_help().split())
    for line in (
        "in pixels (default: 256 384)",
        "processes (default: 0)",
        "mirror (default: True)",
        "--strict stop --",
        "--model MODEL a net --",
        "of the net; default: the last --",
    ):
        assert line in text
    assert parser.format_help().rstrip().endswith(EXIT_CODES)


def test_a_mistake_is_one_line(parser: Parser, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that is mistyped is named before those that are missing."""
    assert refused(parser, capsys, "--modle", "x") == (
        "error: there is no option --modle (did you mean --model?). See `tool --help`"
    )
    assert refused(parser, capsys, "--xyz=3") == "error: there is no option --xyz. See `tool --help`"
    expected = "error: unknown --license 'mitt' (did you mean mit?); choose from mit, apache-2.0. See `tool --help`"
    assert refused(parser, capsys, "--model", "x", "--license", "mitt") == expected
    expected = "error: the following arguments are required: --model. See `tool --help`"
    assert refused(parser, capsys) == expected


def test_an_alias_works_and_is_not_shown(parser: Parser) -> None:
    """Under the name of its option."""
    assert parser.parse_args(["--model", "x", "--licence", "mit"]).license == "mit"
    assert "licence" not in parser.format_help()


def test_what_is_behind_two_dashes_is_no_option(parser: Parser) -> None:
    """As everywhere; and an unambiguous prefix is a name."""
    parser.add_argument("files", nargs="*")
    assert parser.parse_args(["--mod", "x", "--", "--file"]).files == ["--file"]


def test_options_of_another_command_are_passed_on(parser: Parser, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that are neither's are mistakes, with what may be meant of both."""
    first = Parser(prog="first", passes_on_to=parser)
    first.add_argument("--launcher")
    assert first.parse_known_args(["--launcher", "x", "--workers", "8"])[1] == ["--workers", "8"]
    assert "--lauchner (did you mean --launcher?)" in refused(first, capsys, "--lauchner", "x")
    assert "--worker-s (did you mean --workers?)" in refused(first, capsys, "--worker-s", "8")


def test_a_mistyped_command_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """And the mistyped option of a command is that command's."""
    parser = Parser(prog="tool")
    parser.add_subparsers(metavar="COMMAND").add_parser("build").add_argument("--output")
    assert refused(parser, capsys, "biuld").startswith("error: unknown command 'biuld' (did you mean build?); choose ")
    assert refused(parser, capsys, "build", "--outptu", "x").endswith(
        "(did you mean --output?). See `tool build --help`"
    )
    assert parser.parse_args(["build", "--output", "x"]).output == "x"


def test_what_is_far_from_everything_has_no_hint() -> None:
    """Rather than a wrong one."""
    assert near("--zebra", ["--model", "--output"]) == ""


SCRIPTS = (
    "train",
    "evaluate",
    "fuse",
    "localise",
    "tables",
    "extract_features",
    "linear_svm",
    "reproduce",
    "check_data",
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_says_what_it_is_where_it_is_left_out(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its default, or its group's word for all of them; flags are off."""
    seen: list[Parser] = []

    def parse(parser: Parser, *_: Any) -> NoReturn:
        seen.append(parser)
        raise KeyboardInterrupt

    monkeypatch.setattr(Parser, "parse_known_args", parse)
    with pytest.raises(KeyboardInterrupt):
        import_module(f"recipes.{script}").parse([])
    texts = {}
    for group in seen[0]._action_groups:
        for action in group._group_actions:
            text = seen[0]._get_formatter()._get_help_string(action) or ""  # type: ignore[attr-defined]
            says = any(word in f"{group.title} {text}".lower() for word in ("default", "where nothing is said"))
            texts[action.dest] = says or action.required or action.nargs in (0, "?")
    assert len(texts) > 3
    assert [dest for dest, says in texts.items() if not says] == []
