"""`vgg-zoo COMMAND`: help, mistakes, exit codes, and what is imported for them."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.vgg_zoo_cli.conftest import Run
from vgg_zoo_cli import main as module
from vgg_zoo_cli.main import COMMANDS, vgg_zoo

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "timm", "numpy", "vgg_zoo", "PIL", "rich", "huggingface_hub")


def in_own_process(*words: str) -> tuple[int, list[str], str]:
    """Exit code, the heavy libraries that were imported, and what stood on standard error."""
    code = (
        "import sys\nfrom vgg_zoo_cli.main import main\ncode = main()\n"
        f"print('IMPORTED', *[name for name in {HEAVY} if name in sys.modules])\nsys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout.splitlines()[-1].split()[1:], done.stderr


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_imports_nothing_heavy(name: str) -> None:
    """PyTorch alone takes seconds."""
    assert in_own_process(*name.split(), "--help") == (0, [], "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lst"], "no such command 'lst'; did you mean list? See `vgg-zoo --help`"),
        (["bogus"], "no such command 'bogus'; choose from list, predict, explain, localise, "),
        (["--lst"], "no such option '--lst'. See `vgg-zoo --help`"),
        (["predict", "a.jpg", "--modle", "x"], "no such option '--modle'; did you mean --model? See `vgg-zoo predict "),
        (["predict", "--model", "vgg_d"], "missing argument 'PHOTOS...'. See `vgg-zoo predict --help`"),
        (["predict", "nowhere.jpg", "--model", "vgg_d"], "there is no file or folder nowhere.jpg. See "),
        (["predict", __file__, "--model", "vgg_dd"], "there is no net 'vgg_dd' and no folder of this name; did you m"),
        (["predict", __file__, "--model", "vgg_c"], "there are no weights 'vgg_c': nobody has published any for this"),
        (["predict", __file__, "--model", "vgg_d.oxford"], "there are no weights 'vgg_d.oxford': vgg_d has tv_in1k, "),
        (["predict", __file__, "--model", "."], ". is not a folder of a net: it has no config.json"),
        (["predict", __file__, "--model", "vgg_d", "--csv", "a.txt"], "a.txt must end in .csv"),
        (["predict", __file__, "--model", "vgg_d", "--top", "0"], "'--top': 0 is not in the range x>=1"),
        (["predict", __file__, "--model", "vgg_d", "--scales"], "option '--scales' requires an argument"),
        (["predict", __file__, "--model", "vgg_d", "--device", "gpu"], "'gpu' is not one of 'auto', 'cpu', 'cuda'"),
        (["explain", __file__, "--model", "vgg_d", "--output", "no/a.png"], "there is no folder no to write a.png to"),
        (["localise", __file__, "--model", "vgg_d"], "missing option '--classifier'"),
        (["features", __file__, "--model", "vgg_d", "--out", "a.npy"], "a.npy must end in .npz or .parquet"),
        (["convert", "nowhere.h5", "--output", "x"], "'nowhere.h5' does not exist"),
        (["convert", __file__, "--output", "x", "--std", "1", "1", "0"], "'--std': must be above 0; got 1 1 0"),
        (["verify", "vgg_dd"], "there is no net 'vgg_dd' and no folder of this name"),
        (["bench", "--architecture", "vgg_f"], "'vgg_f' is not one of 'vgg_a', "),
    ],
)
def test_a_mistake_is_one_line_before_anything_heavy(words: list[str], said: str, tmp_path: Path) -> None:
    """With exit code 2, and nothing written."""
    code, imported, error = in_own_process(*words)
    assert (code, imported) == (2, [])
    assert error.startswith("error: ")
    assert said in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_same_help(name: str, run: Run) -> None:
    """Its options by groups with their defaults, and the exit codes."""
    text = run(name, "--help").out
    assert text.startswith(f"Usage: vgg-zoo {name} ")
    assert "130  interrupted" in text
    assert text.rindex("\nHelp:\n") > max(text.find(f"\n{group}:\n") for group in ("Net", "Test", "Output"))
    if "--device" in text:
        assert "[default: auto]" in text


def test_the_help_names_every_command(run: Run) -> None:
    """Also without any word; what each does is not cut short."""
    done = run()
    assert done == run("--help")
    assert done.code == 0
    assert all(f"\n  {name} " in done.out for name in COMMANDS)
    assert "..." not in done.out.partition("Commands:")[2]


def test_one_name_has_one_meaning() -> None:
    """The same words in every command; `--net` and `--licence`, as they once were, work and are not shown."""
    context, helps = click.Context(vgg_zoo), dict[str, set[str | None]]()
    for name in COMMANDS:
        command = vgg_zoo.get_command(context, name)
        assert command is not None
        for each in command.params:
            if isinstance(each, click.Option):
                helps.setdefault(each.opts[0], set()).add(each.help)
        shown = command.get_help(click.Context(command))
        assert "--net" not in shown
        assert "--licence" not in shown
    assert all(len(helps[name]) == 1 for name in ("--device", "--precision", "--overwrite", "--top", "--license"))


def test_the_version(run: Run) -> None:
    """As the package's."""
    import vgg_zoo as package

    assert run("--version").out == f"vgg-zoo {package.__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device\n"),
        (ValueError("two\nlines"), 1, "error: two lines\n"),
        (ImportError("pip install it"), 1, "error: pip install it\n"),
    ],
)
def test_what_goes_wrong_has_an_exit_code(
    error: BaseException, code: int, said: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one line."""

    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(module.Commands, "get_command", lambda self, context, name: failing)
    done = run("list")
    assert (done.code, done.err.lstrip()) == (code, said)  # click ends the line that Ctrl-C stands in


@pytest.mark.parametrize(("words", "expected"), [("vgg-zoo pr", "predict"), ("vgg-zoo predict --pre", "--precision")])
def test_shells_complete(words: str, expected: str) -> None:
    """Commands and options, by click's protocol for bash."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_VGG_ZOO_COMPLETE": "bash_complete"}
    environment |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    code = "import sys; from vgg_zoo_cli.main import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert f"plain,{expected}" in done.stdout.splitlines()


def test_a_names_completion_is_the_registrys(run: Run) -> None:
    """And folders."""
    command = vgg_zoo.get_command(click.Context(vgg_zoo), "predict")
    assert command is not None
    (option,) = (each for each in command.params if each.name == "model")
    found = option.type.shell_complete(click.Context(command), option, "vgg_d.")
    assert [item.value for item in found if item.type == "plain"] == ["vgg_d.tv_in1k", "vgg_d.oxford_in1k"]
    assert [item.type for item in found][-1] == "dir"


@pytest.mark.slow
def test_the_module_is_the_same_command() -> None:
    """`python -m vgg_zoo`."""
    done = subprocess.run([sys.executable, "-m", "vgg_zoo", "lst"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no such command 'lst'; did you mean list? See `vgg-zoo --help`\n"
