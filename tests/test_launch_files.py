"""The files of docs/launch, which people paste, as they would be read."""

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "docs/launch").iterdir())
SCALING = ROOT / "docs/scaling.md"
COMMAND = re.compile(r"(?:accelerate launch|torchrun|python) .*?recipes/\w+\.py.*")


def commands(path: Path) -> Iterator[list[str]]:
    """Each command line that runs something of recipes/, in words; a variable counts as 1."""
    text = re.sub(r"^# ?", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in text.splitlines():
        if found := COMMAND.search(re.sub(r"\$\{?\w+\}?", "1", line)):
            yield shlex.split(found[0], comments=True)


def script_of(words: Sequence[str]) -> tuple[str, list[str]]:
    """The script and its options, as the launcher in front of it takes them."""
    if words[0] == "accelerate":
        args = launch_command_parser().parse_args(list(words[2:]))
    elif words[0] == "torchrun" or words[1] == "recipes/launch.py":
        args = get_args_parser().parse_args(list(words[1 if words[0] == "torchrun" else 2 :]))
    else:
        return words[1], list(words[2:])
    return args.training_script, list(args.training_script_args)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_command_is_understood(path: Path) -> None:
    """By the launcher and by the command itself."""
    found = list(commands(path))
    assert found
    for words in found:
        script, options = script_of(words)
        import_module(f"recipes.{Path(script).stem}").parse(options)
        assert (ROOT / script).is_file()


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".sh"], ids=lambda path: path.name)
def test_bash_reads_the_scripts(path: Path) -> None:
    """Without running them."""
    subprocess.run(["bash", "-n", str(path)], check=True)  # noqa: S607 (whose bash it is does not matter)
    assert path.read_text().startswith("#!/bin/bash\n")


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".yaml"], ids=lambda path: path.name)
def test_accelerate_reads_the_configurations(path: Path) -> None:
    """And finds in them what docs/scaling.md says."""
    config = load_config_from_file(str(path))
    assert config.num_processes == 8 * config.num_machines
    assert (config.mixed_precision, config.use_cpu) == ("bf16", False)
    assert str(config.distributed_type).endswith("MULTI_GPU")


def test_the_docs_name_every_file() -> None:
    """And Slurm's script asks for what a stop needs."""
    text = SCALING.read_text()
    assert [path.name for path in FILES if f"launch/{path.name}" not in text] == []
    script = (ROOT / "docs/launch/slurm.sh").read_text()
    assert "\n#SBATCH --signal=USR1@120\n" in script
    assert "\n#SBATCH --requeue\n" in script
