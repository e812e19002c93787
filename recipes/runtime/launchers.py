"""The launchers of a command's processes (Accelerate's, torchrun, a scheduler), and checks of their settings."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
from accelerate import Accelerator
from accelerate.commands.config.config_args import default_yaml_config_file, load_config_from_file
from accelerate.utils import DistributedType

from recipes.runtime.signals import EXIT_CODES, die_with_parent

_UNSUPPORTED = (DistributedType.DEEPSPEED, DistributedType.FSDP, DistributedType.MEGATRON_LM, DistributedType.XLA)

ON_CPU = {"ACCELERATE_USE_CPU": "true"}
"""Environment of `launch_command` to run on the CPU."""


def launch_command(processes: int) -> list[str]:
    """The beginning of a command that runs a script in this many processes on this machine.

    `accelerate launch --cpu --num_processes 2` silently starts one process. It starts two if it is configured for GPUs
    and `ON_CPU` forbids their use.
    """
    if processes == 1:
        return [sys.executable]
    options = ["--multi_gpu", "--num_processes", str(processes), "--num_machines", "1", "--main_process_port", "0"]
    # All options are given, so that the launcher asks nothing and prints no warnings.
    options += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    return [sys.executable, "-m", "accelerate.commands.launch", *options]


def launch(script: str, *options: str | Path, processes: int) -> None:
    """Run a command of recipes/ in real processes on the CPU, as a user would on GPUs, and print its command line.

    Raises:
        ValueError: It failed; its messages are printed above.
    """
    words = [f"recipes/{script}.py", *map(str, options)]
    print("$", shlex.join(["accelerate", "launch", *words]), flush=True)
    root = Path(__file__).resolve().parents[2]
    words[0] = str(root / words[0])
    done = subprocess.run([*launch_command(processes), *words], check=False, env={**os.environ, **ON_CPU})
    if done.returncode:
        raise ValueError(f"recipes/{script}.py ended with code {done.returncode}; its messages are above")


def check_launch(accelerator: Accelerator) -> None:
    """Refuse settings of the launcher or the environment that would silently change the training.

    Raises:
        ValueError: Gradients would be accumulated over steps, the precision is float16, processes share a net without
            DDP, or processes do not know of each other.
    """
    _check_ranks(accelerator.num_processes)
    kind, steps = accelerator.distributed_type, accelerator.gradient_accumulation_steps
    if kind in _UNSUPPORTED:
        raise ValueError(
            f"{kind.value} shares out the net or its optimiser, and the paper's training is SGD on a whole net in each "
            "process; start the command without it (accelerate config, or the environment's ACCELERATE_USE_...)"
        )
    if getattr(accelerator, "parallelism_config", None) is not None:
        raise ValueError(
            "the launcher shares out the net (PARALLELISM_CONFIG_..., or accelerate config), and the paper's training "
            "is SGD on a whole net in each process; start the command without it"
        )
    if steps != 1:
        raise ValueError(
            f"the launcher accumulates gradients over {steps} steps (ACCELERATE_GRADIENT_ACCUMULATION_STEPS, or "
            "accelerate config), which changes what is learned; for less memory give --device-batch"
        )
    if accelerator.mixed_precision not in ("no", "bf16"):
        raise ValueError(
            f"the launcher asks for {accelerator.mixed_precision}, whose range is too small without a scaled loss; "
            "--precision has fp32, tf32, bf16 and fp64"
        )


def _check_ranks(processes: int) -> None:
    """Refuse a job whose processes would each do the whole work in the same folder.

    Raises:
        ValueError: The environment has another number of processes than this process knows of.
    """
    for name, at_least in (("WORLD_SIZE", False), ("OMPI_COMM_WORLD_SIZE", True), ("SLURM_STEP_NUM_TASKS", True)):
        told = os.environ.get(name, "")
        if told.isdigit() and (processes < int(told) or (processes > int(told) and not at_least)):
            raise ValueError(
                f"the job has {told} processes ({name}), and this one knows of {processes}: each would do the whole "
                "work in the same folder. Start them with torchrun or accelerate launch (--multi_gpu for several "
                "GPUs), one launcher on each machine"
            )


def launcher() -> psutil.Process | None:
    """Accelerate's launcher, if it started this process."""
    try:
        parent = psutil.Process(os.getppid())
        begins = [Path(word).name for word in parent.cmdline()[:3]]
    except psutil.Error:
        return None
    return parent if any(word.startswith("accelerate") for word in begins) else None


def processes_asked_for(command: Sequence[str]) -> int | None:
    """Number of processes that Accelerate's launcher was asked for.

    Args:
        command: Its command line. The number is --num_processes, or that of its configuration file.

    Returns:
        None if neither has a number.
    """
    options = _options(command)
    if (asked := options.get("num_processes")) is not None:
        return int(asked) if asked.isdigit() else None
    file = options.get("config_file", default_yaml_config_file)
    try:
        return int(load_config_from_file(file).num_processes) if Path(file).is_file() else None
    except Exception:  # the launcher itself has reported what is wrong with the file
        return None


def _options(command: Sequence[str]) -> dict[str, str]:
    """Options with a value, by name; Accelerate takes both `_` and `-` within a name."""
    found = {}
    for word, following in zip(command, [*command[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            found[flag[2:].replace("-", "_")] = value if equals else following
    return found


def too_few_processes(processes: int) -> str | None:
    """A warning if Accelerate's launcher started fewer processes than requested, as with `--cpu`."""
    parent = launcher()
    asked = processes_asked_for(parent.cmdline()) if parent else None
    if asked is None or asked <= processes:
        return None
    return (
        f"warning: {asked} processes were asked for and {processes} started. `accelerate launch --cpu` starts one; for "
        f"{asked} on CPUs: ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes {asked} "
        "--num_machines 1 recipes/..."
    )


def begin_process() -> None:
    """Make this process stop with a checkpoint when its launcher ends; every process of a job calls this first.

    torchrun starts processes in separate sessions, and Accelerate's launcher of one process passes no signals on. If
    either is killed, its processes would continue to train, and write into the folder of the run that its user then
    starts again. Without a launcher, this function does nothing.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ or launcher() is not None:
        die_with_parent(signal.SIGTERM)


def stop_launcher(code: int) -> None:
    """End Accelerate's launcher of one process with the same signal, because it would turn every exit code into 1.

    For several processes the launcher is torchrun, which handles signals itself and cannot be changed.
    """
    parent = launcher()
    if parent is not None and "TORCHELASTIC_RUN_ID" not in os.environ:
        parent.send_signal(signal.SIGINT if code == EXIT_CODES[signal.SIGINT] else signal.SIGTERM)
