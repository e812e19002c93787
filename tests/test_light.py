"""Help and mistakes are answered before anything heavy is imported, by every command of recipes/ and hub/."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "timm", "accelerate", "datasets", "sklearn", "numpy", "vgg_zoo", "huggingface_hub"}
LAUNCHER = "launch.py"
"""torchrun with its own options: it is PyTorch's."""

SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("recipes/*.py"), *ROOT.glob("recipes/demo/*.py"))
    if path.name != LAUNCHER and "main = command(" in path.read_text()
)
CODE = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    if sys.argv[0] == "hub":
        runpy.run_module("hub", run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("imported", *sys.modules)
"""


def answered(*words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own; the last line of its output names what it imported."""
    return subprocess.run([sys.executable, "-c", CODE, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The heavy packages among it."""
    first, *modules = done.stdout.splitlines()[-1].split()
    assert first == "imported"
    return HEAVY & set(modules)


def test_no_command_is_left_out() -> None:
    """All that README's tree shows."""
    assert {Path(script).stem for script in SCRIPTS} == {
        *(
            "train",
            "evaluate",
            "fuse",
            "localise",
            "tables",
            "extract_features",
            "linear_svm",
            "reproduce",
            "check_data",
        ),
        *("demo", "tour"),
    }


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_light(script: str) -> None:
    """And ends with the exit codes."""
    done = answered(script, "--help")
    assert (done.returncode, imported(done)) == (0, set()), done.stderr
    assert "exit codes:" in done.stdout
    assert "usage: " in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_mistyped_option_is_light(script: str) -> None:
    """One line with what may have been meant, and exit code 2."""
    done = answered(script, "--outpux", "there", "--data", "here")
    assert (done.returncode, imported(done)) == (2, set())
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: there is no option --outpux (did you mean --output?)")
    assert line.endswith(f"See `{Path(script).name} --help`")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train --recipe digts_vgg_a --data digits", "unknown recipe 'digts_vgg_a' (did you mean digits_vgg_a?)"),
        ("train --recipe nowhere.py --data digits", "no recipe file 'nowhere.py'"),
        ("train --recipe digits_vgg_a", "--data is required, but for --dry-run"),
        ("train --recipe digits_vgg_a --data x --precision fp31", "unknown --precision 'fp31' (did you mean fp32"),
        ("evaluate --data digits --output x", "the following arguments are required: --model"),
        ("evaluate --model m --data d --output x --scales big", "argument --scales: invalid int value: 'big'"),
        ("evaluate --model m --data d --output x --box-format xywx", "unknown --box-format 'xywx' (did you mean"),
        ("localise --model m 4x --data d --output x", "--model takes a folder or name, then test scales"),
        ("linear_svm --protocol voc --data d --output x", "unknown --protocol 'voc'"),
        ("extract_features --model m --data d --output x --l2 finale", "unknown --l2 'finale' (did you mean final?)"),
    ],
)
def test_a_mistyped_value_is_light(words: str, message: str) -> None:
    """Names of recipes, choices, numbers, and what does not go together."""
    script, *options = words.split()
    done = answered(f"recipes/{script}.py", *options)
    assert (done.returncode, imported(done)) == (2, set())
    (line,) = done.stderr.splitlines()
    assert message in line
