"""Help and mistakes are answered before anything heavy is imported, by every command of recipes/, hub/ and vgg-zoo."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.command_lines import COMMANDS as LINES
from benchmarks.command_lines import python_words
from vgg_zoo_cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "timm", "accelerate", "datasets", "sklearn", "numpy", "vgg_zoo", "huggingface_hub"}
LAUNCHER = "launch.py"
"""torchrun with its own options: it is PyTorch's."""

HUB = ("build", "check", "plan", "publish", "verify", "lock")
OURS = [command for command in LINES if not command.startswith("vgg-zoo")]
CODE = """
import runpy, sys
first, *words = sys.argv[1:]
try:
    if first == "-m":
        sys.argv = words
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *words[1:]]
        exec(words[0])
    else:
        sys.argv = [first, *words]
        runpy.run_path(first, run_name="__main__")
finally:
    print("imported", *sys.modules)
"""


def answered(command: str, options: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own; the last line of its output names what it imported."""
    line = [sys.executable, "-c", CODE, *python_words(command, options)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The heavy packages among it."""
    first, *modules = done.stdout.splitlines()[-1].split()
    assert first == "imported"
    return HEAVY & set(modules)


def refused(command: str, options: str, folder: Path) -> str:
    """The one line of what is typed wrong: nothing heavy was imported for it, and nothing written."""
    before = sorted(folder.rglob("*"))
    done = answered(command, options, folder)
    assert (done.returncode, imported(done)) == (2, set()), done.stderr
    assert sorted(folder.rglob("*")) == before
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def test_no_command_is_left_out() -> None:
    """All that README's tree shows."""
    scripts = (
        str(path.relative_to(ROOT))
        for path in (*ROOT.glob("recipes/*.py"), *ROOT.glob("recipes/demo/*.py"))
        if path.name != LAUNCHER and "main = command(" in path.read_text()
    )
    vgg_zoo = ("vgg-zoo", *(f"vgg-zoo {name}" for name in COMMANDS))
    hub = ("python -m hub", *(f"python -m hub {name}" for name in HUB))
    assert sorted(LINES) == sorted((*vgg_zoo, *scripts, *hub))


@pytest.mark.parametrize("command", LINES)
def test_help_is_light(command: str) -> None:
    """And ends with the exit codes."""
    done = answered(command, "--help")
    assert (done.returncode, imported(done)) == (0, set()), done.stderr
    assert "exit codes:" in done.stdout.lower()
    assert "usage: " in done.stdout.lower()


@pytest.mark.parametrize("command", LINES)
def test_a_mistyped_option_is_light(command: str, tmp_path: Path) -> None:
    """One line with what may have been meant, and exit code 2."""
    line = refused(command, "--hepl", tmp_path)
    assert "--hepl" in line
    assert "did you mean --help" in line
    assert line.endswith("--help`")


@pytest.mark.parametrize("command", LINES)
def test_a_mistake_is_light(command: str, tmp_path: Path) -> None:
    """That of the benchmark."""
    (tmp_path / "README.md").touch()
    assert "--help`" in refused(command, LINES[command].mistake, tmp_path)


@pytest.mark.parametrize("command", OURS)
def test_outputs_are_replaced_by_one_word(command: str) -> None:
    """--overwrite, in all commands that write where --output says; a demo's output is its own."""
    text = answered(command, "--help").stdout
    assert ("--overwrite" in text) == ("--output" in text and "/demo/" not in command)


TRAIN = "--recipe digits_vgg_a --data digits"
EVALUATE = "--model vgg_d --data digits --output x"


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("train", "--recipe digts_vgg_a --data digits", "unknown recipe 'digts_vgg_a' (did you mean digits_vgg_a?)"),
        ("train", "--recipe nowhere.py --data digits", "no recipe file 'nowhere.py'"),
        ("train", "--recipe digits_vgg_a --data digts", "there is no data set 'digts' (did you mean digits?)"),
        ("train", "--recipe digits_vgg_a", "--data is required, but for --dry-run"),
        ("train", f"{TRAIN} --precision fp31", "unknown --precision 'fp31' (did you mean fp32"),
        ("train", f"{TRAIN} --device gpu", "unknown --device 'gpu'; choose from auto, cpu, cuda"),
        ("train", f"{TRAIN} --set epoch=3", "a recipe has no 'epoch' (did you mean epochs?); it has model, "),
        ("train", f"{TRAIN} --set epochs=many", "--set epochs must be a whole number; got 'many'"),
        ("train", f"{TRAIN} --set epochs=0", "epochs must be above 0; got 0"),
        ("train", f"{TRAIN} --set model=vgg_z", "model must be a net of this zoo, vgg_a, "),
        ("train", f"{TRAIN} --set model=vgg_a_box", "vgg_a_box cannot learn classes"),
        ("train", f"{TRAIN} --set model_args.drop_rat=0.1", "vgg_a takes no 'drop_rat' (did you mean drop_rate?)"),
        ("train", f"{TRAIN} --set model_args.drop_rate=2", "model_args['drop_rate'] must be from 0 to 1; got 2"),
        ("train", f"{TRAIN} --set crop_size=16 train_scales=64,64", "crop_size must be at least 32"),
        ("train", "--recipe vgg_b_s256@small --data digits --set drops=x", "--set drops must be a whole number"),
        ("train", "--recipe finetune_d --data digits --set model=vgg_e", "name those with --init-from"),
        ("train", f"{TRAIN} --max-steps 0", "--max-steps: must be a whole number of at least 1; got 0"),
        ("train", f"{TRAIN} --checkpoint-minutes nan", "--checkpoint-minutes: must be a number above 0; got nan"),
        ("train", f"{TRAIN} --trackers tensorbord", "unknown tracker 'tensorbord' (did you mean tensorboard?)"),
        ("train", f"{TRAIN} --init-from nowhere", "there is no net 'nowhere' and no folder of this name"),
        ("train", f"{TRAIN} --resume nowhere", "there is no folder nowhere; name auto or a folder in"),
        (
            "train",
            "--recipe digits_vgg_a --data ./photoz",
            "there is no file or folder ./photoz (did you mean photos?)",
        ),
        ("reproduce", "--data digits --set epoch=3", "a recipe has no 'epoch' (did you mean epochs?)"),
        (
            "reproduce",
            "--data digits --kind boxes --set model_args.regression=spr",
            "unknown regression 'spr'; choose from pcr, scr",
        ),
        ("reproduce", "--data digits --rate fast", "--rate: must be a number above 0; got fast"),
        ("evaluate", "--data digits --output x", "the following arguments are required: --model"),
        ("evaluate", f"{EVALUATE} --protocol densee", "unknown protocol 'densee' (did you mean dense?)"),
        ("evaluate", f"{EVALUATE} --scales big", "--scales: must be a whole number of at least 32; got big"),
        ("evaluate", f"{EVALUATE} --scales 16", "--scales: must be a whole number of at least 32; got 16"),
        ("evaluate", f"{EVALUATE} --box-format xywx", "unknown --box-format 'xywx' (did you mean"),
        ("evaluate", f"{EVALUATE} --workers -1", "--workers: must be a whole number of at least 0; got -1"),
        ("evaluate", f"{EVALUATE} --class-index nowhere.txt", "there is no file nowhere.txt"),
        ("evaluate", f"{EVALUATE} --submission top5.txt", "top5.txt is there already"),
        ("evaluate", f"{EVALUATE} --submission nowhere/top5.txt", "there is no folder nowhere"),
        ("fuse", "results --output x --submission top5.txt", "top5.txt is there already"),
        ("evaluate", "--model vgg_dd --data digits --output x", "there is no net 'vgg_dd'"),
        (
            "evaluate",
            "--model photos --data digits --output x",
            "photos is not a folder of a net: it has no config.json",
        ),
        ("evaluate", "--model vgg_d --data no/such/folder --output x", "there is no file or folder no/such/folder"),
        (
            "localise",
            "--model vgg_d 4x --data digits --output x",
            "then test scales in pixels; a scale must be a whole",
        ),
        ("localise", "--model nowhere 384 --data digits --output x", "there is no net 'nowhere'"),
        (
            "localise",
            "--model photos --close 2 --data digits --output x",
            "--close: must be a number from 0 to 1; got 2",
        ),
        ("linear_svm", "--protocol voc --data photos --output x", "unknown --protocol 'voc'"),
        (
            "linear_svm",
            "--protocol voc2007 --data photoz --output x",
            "--data photoz is no folder (did you mean photos?)",
        ),
        ("linear_svm", "--protocol voc2007 --data photos --output x --C 0", "--C: must be a number above 0; got 0"),
        (
            "linear_svm",
            "--protocol folder --features photos --output x",
            "photos has no results.json; name the --output",
        ),
        ("extract_features", f"{EVALUATE} --l2 finale", "unknown --l2 'finale' (did you mean final?)"),
        ("extract_features", f"{EVALUATE} --layer fc77", "unknown layer 'fc77' (did you mean fc7"),
        ("fuse", "photos --output x", "photos has no results.json; name the --output of recipes/evaluate.py"),
        ("tables", "photoz", "there is no folder photoz (did you mean photos?); name the --output of"),
        (
            "tables",
            "results --output photos",
            "photos/tables.md is there already; name another place, or replace it with",
        ),
        ("tables", "results --output top5.txt", "top5.txt is a file; name another folder"),
        ("check_data", "--data digits --output photos", "photos/data.json is there already"),
    ],
)
def test_a_mistyped_value_is_light(command: str, options: str, message: str, tmp_path: Path) -> None:
    """Names of recipes and nets, fields and values of --set, numbers, paths, and what is there already."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "results").mkdir()
    for name in ("top5.txt", "photos/tables.md", "photos/data.json", "results/results.json"):
        (tmp_path / name).touch()
    assert message in refused(f"recipes/{command}.py", options, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("biuld run", "unknown command 'biuld' (did you mean build?); choose from build, check, plan, publish, verify"),
        (
            "build photos --repo me/vgg_d.x",
            "photos has no config.json, model.safetensors; name the folder of a trained",
        ),
        ("build net", "the following arguments are required: --repo"),
        ("build net --repo vgg_d", "a repository is ORG/NET.TAG or ORG/NET.TAG@VERSION"),
        ("build net --repo me/vgg_d.x --license MIT", "unknown --license 'MIT'; choose from apache-2.0, "),
        ("build net --repo me/vgg_d.x --licence apache-2", "(did you mean apache-2.0?)"),
        ("build net --repo me/vgg_d.x --results photos", "photos has no results.json; name the --output of recipes/"),
        ("build net --repo me/vgg_d.x --output built", "built is there already; name another place, or replace it"),
        ("build net --repo me/vgg_d.x --output net --overwrite", "net is there and was not built by this command"),
        ("publish nowhere", "there is no folder nowhere; name one that `python -m hub build` wrote"),
        ("publish built --lock --pr", "not allowed with argument --lock"),
    ],
)
def test_a_mistake_of_the_hub_is_light(options: str, message: str, tmp_path: Path) -> None:
    """Commands, folders, addresses, licences, and what is there already."""
    for name in ("net", "built", "photos"):
        (tmp_path / name).mkdir()
    for name in ("net/config.json", "net/model.safetensors", "built/SHA256SUMS"):
        (tmp_path / name).touch()
    assert message in refused("python -m hub", options, tmp_path)


def test_what_several_machines_may_not_share_is_left_to_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that one of them lacks is no mistake of the command line; the process that looks tells all."""
    from recipes.runtime import values

    monkeypatch.delitem(sys.modules, "timm", raising=False)
    assert values.is_known_here()
    with pytest.raises(ValueError, match="there is no folder nowhere"):
        values.checkpoint("nowhere")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert values.checkpoint("nowhere") == "nowhere"
