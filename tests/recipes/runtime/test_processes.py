"""What a launcher was asked for, and errors of one process in all of them."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate.utils import DistributedType

from recipes.runtime import launchers
from recipes.runtime.launchers import check_launch, processes_asked_for
from recipes.runtime.processes import outside_cause
from tests.recipes.commands import Command, run, run_line, train_command


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("accelerate launch --cpu --num_processes 2 recipes/train.py", 2),
        ("accelerate launch --num_processes=4 recipes/train.py", 4),
        ("accelerate launch --num-processes 3 recipes/train.py", 3),
        ("accelerate launch recipes/train.py --recipe x", None),
        ("bash", None),
        ("accelerate launch --num_processes", None),
        ("accelerate launch --num_processes two recipes/train.py", None),
    ],
)
def test_the_number_is_read_from_the_launchers_command(
    command: str, asked: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all the ways in which it can be written."""
    monkeypatch.setattr(launchers, "default_yaml_config_file", "/nowhere")  # there may be one on this machine
    assert processes_asked_for(command.split()) == asked


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}, "accumulates gradients over 4 steps"),
        ({"ACCELERATE_MIXED_PRECISION": "fp16"}, "fp16"),
    ],
)
def test_what_would_change_a_run_without_a_word_is_refused(
    environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    """Options of the launcher, which it hands on in the environment."""
    done = run(train_command(tmp_path / "run", "--max-steps", 1), **environment)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["DEEPSPEED", "FSDP", "MEGATRON_LM", "XLA"])
def test_a_shared_out_net_is_refused(kind: str) -> None:
    """By its name, whatever plugin made it; the checks need no GPU."""
    accelerator: Any = SimpleNamespace(
        distributed_type=DistributedType[kind], gradient_accumulation_steps=1, mixed_precision="no", num_processes=1
    )
    with pytest.raises(ValueError, match=f"{kind} shares out the net"):
        check_launch(accelerator)
    accelerator.distributed_type = DistributedType.MULTI_GPU
    check_launch(accelerator)
    accelerator.mixed_precision = "fp16"
    with pytest.raises(ValueError, match=r"the launcher asks for fp16.*--precision has fp32, tf32, bf16 and fp64"):
        check_launch(accelerator)


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_processes_that_do_not_know_of_each_other_are_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a launcher without the right flags, mpirun or srun start them."""
    monkeypatch.setenv(variable, "2")
    accelerator: Any = SimpleNamespace(
        distributed_type=DistributedType.NO, gradient_accumulation_steps=1, mixed_precision="no", num_processes=1
    )
    with pytest.raises(
        ValueError, match=rf"the job has 2 processes \({variable}\), and this one knows of 1: each would"
    ):
        check_launch(accelerator)
    accelerator.num_processes = 2
    check_launch(accelerator)


@pytest.mark.slow
def test_two_tasks_of_slurm_do_not_both_train(tmp_path: Path) -> None:
    """Before anything is written."""
    done = run(train_command(tmp_path / "run", "--max-steps", 1), SLURM_STEP_NUM_TASKS="2")
    assert done.returncode == 1
    assert "error: the job has 2 processes (SLURM_STEP_NUM_TASKS), and this one knows of 1" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_number_is_read_from_accelerates_configuration(tmp_path: Path) -> None:
    """The file that is named, unless the command line says otherwise; a damaged one is the launcher's to refuse."""
    file = tmp_path / "config.yaml"
    file.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nnum_processes: 4\n")
    line = ["accelerate", "launch", "--config_file", str(file), "recipes/train.py"]
    assert processes_asked_for(line) == 4
    assert processes_asked_for([*line[:4], "--num-processes=3", *line[4:]]) == 3
    file.write_text("num_processes: [")
    assert processes_asked_for(line) is None


@pytest.mark.slow
def test_fewer_processes_than_the_configuration_asks_for_are_told(tmp_path: Path) -> None:
    """By Accelerate's own launcher, which starts one on the CPU."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nuse_cpu: true\nnum_machines: 1\nnum_processes: 2\n"
    )
    words = train_command(tmp_path / "run", "--max-steps", 1).words
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file)]
    done = run_line([*launcher, *words])
    assert done.returncode == 0, done.stderr
    assert "warning: 2 processes were asked for and 1 started" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ZeroDivisionError", "OSError", "Odd"])
def test_any_error_of_the_main_process_ends_all_of_them(error: str, tmp_path: Path) -> None:
    """With its own words, soon, whether it can be sent or not; the others do not wait for two hours."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "sys.path.insert(0, os.getcwd())\n"
        "from recipes.runtime.processes import from_main, make_accelerator\n"
        "class Odd(Exception):\n"
        "    def __init__(self, a, b):\n"
        "        super().__init__(f'{a} and {b}')\n"
        "def compute():\n"
        f"    raise Odd('the disk', 'is gone') if {error!r} == 'Odd' else {error if error != 'Odd' else 'OSError'}"
        "('the disk and is gone')\n"
        "accelerator = make_accelerator()\n"
        "try:\n"
        "    from_main(accelerator, compute, 'trying')\n"
        "except Exception as found:\n"
        "    sys.stderr.write(f'{accelerator.process_index} {found}\\n')\n"
    )
    done = run(Command((str(script),), 2))
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "the disk and is gone" in line]
    assert sorted(line[0] for line in said) == ["0", "1"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "[/gloo/tcp/pair.cc:547] Connection closed by peer [::1]:5. This is usually caused by\nmore",
            r"peer \[::1\]:5\)",
        ),
        (
            "DataLoader worker (pid 7) is killed by signal: Killed. ",
            r"loads images ended.*\(pid 7\) is killed by signal: K",
        ),
    ],
)
def test_a_process_that_is_gone_is_told_in_one_line(error: str, said: str) -> None:
    """Without gloo's page of text; any other error is None."""
    assert re.search(said, str(outside_cause(RuntimeError(error))))
    assert "start one process for each GPU" in str(outside_cause(RuntimeError("NCCL error: Duplicate GPU detected")))
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
    assert "CUDA out of memory: this device does not hold" in str(outside_cause(full))
    assert outside_cause(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
