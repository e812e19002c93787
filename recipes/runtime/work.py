"""What the work of every command begins with, and how it ends; imported once the options are read."""

import argparse
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from accelerate import Accelerator

from command_line.parser import MistypedError
from recipes.runtime.hardware import loading_processes, precision_of, use_device
from recipes.runtime.launchers import stop_launcher
from recipes.runtime.lifeline import let_go
from recipes.runtime.lock import release
from recipes.runtime.look import show_bars_of_datasets
from recipes.runtime.output_folder import OutputFolder
from recipes.runtime.processes import (
    from_main,
    is_said_elsewhere,
    make_accelerator,
    only_main_speaks,
    outside_cause,
)
from recipes.runtime.signals import STOP, StoppedError, end_process
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.weights.files import full_disk


def carry_out(run: Callable[[argparse.Namespace], int | None], args: argparse.Namespace, ends: bool) -> int:
    """Do the work of a command: where its user can correct what is wrong, it prints one line in place of a traceback.

    That is a ValueError, of what was asked for, or an OSError, where weights cannot be fetched or results not written;
    another process that is gone; and a signal that asked the command to stop.

    Args:
        run: Does the work; returns an exit code, or None for 0.
        args: The command line, read.
        ends: The process ends with the command.

    Returns:
        The exit code: 2 for what was typed wrong, 1 after another error, 143 or 130 after a signal.
    """
    ended_well = False
    heeded = ExitStack()
    heeded.enter_context(STOP.heeded())  # until the last word is said
    show_bars_of_datasets(False)  # but for what it fetches: `recipes.data.source`
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata in a data set's images
            code = run(args) or 0
        ended_well = True
        return code
    except (ValueError, OSError) as error:
        if not is_said_elsewhere(error):
            full = full_disk(error) is not None  # what other libraries write, whose files are not known here
            way_out = "; free some space, and give the same command again: a run resumes" if full else ""
            print(f"error: {error}{way_out}", file=sys.stderr)
        return 2 if isinstance(error, MistypedError) else 1
    except RuntimeError as error:
        if (cause := outside_cause(error)) is None:
            raise
        print(f"error: {cause}", file=sys.stderr)
        return 1
    except StoppedError as stopped:
        print(stopped, file=sys.stderr)
        release()
        stop_launcher(stopped.code)
        return stopped.code
    finally:
        let_go(ended_well)
        release()
        heeded.close()
        if ends:
            end_process()


def begin_test(args: argparse.Namespace) -> tuple[OutputFolder, Accelerator]:
    """What every command that tests a net begins with.

    Args:
        args: Its command line, with --output and the options of `add_testing_options`. It gets `copy_precision`, the
            `precision` of the nets' evaluators and descriptors, besides what `begin_processes` settles.

    Returns:
        The folder, checked; and the processes.

    Raises:
        ValueError: The folder holds something else, or the CPU has no bf16.
    """
    folder = OutputFolder(args.output)
    accelerator = begin_processes(args)
    args.copy_precision = copy_precision(args.precision, accelerator.device, args.exact)
    from_main(accelerator, lambda: folder.check(args.overwrite))
    return folder, accelerator


def copy_precision(precision: str, device: torch.device, exact: bool) -> str | None:
    """The `precision` of evaluators and descriptors: "bf16" of copies on a CPU; None elsewhere, where autocast does it.

    Args:
        precision: Of the command, one of `recipes.names.PRECISIONS`.
        device: Of the nets.
        exact: They run themselves, not their copies.

    Raises:
        ValueError: The CPU has neither AMX nor AVX512-BF16.
    """
    if precision != "bf16" or device.type != "cpu" or exact:
        return None
    if bf16_of_cpu() is None:
        raise ValueError(
            "--precision bf16 needs a CPU with AMX or AVX512-BF16, and this one has neither; take --precision fp32, or "
            "--exact for PyTorch's own autocast, which is slower here"
        )
    return "bf16"


def begin_processes(args: argparse.Namespace, folder: Path | None = None) -> Accelerator:
    """The processes of a command, whose --precision and --workers are settled: what was not given depends on them.

    Args:
        args: The command line, with the options of `add_testing_options` or `add_hardware_options`.
        folder: Where trackers write; without one there are none.

    Raises:
        ValueError: What the launcher asks for, or the device, does not fit.
    """
    use_device(args.device)
    bf16_gradients, trackers = getattr(args, "bf16_gradients", False), args.trackers if folder else ()
    accelerator = make_accelerator(folder, args.precision, args.deterministic, bf16_gradients, trackers)
    args.precision = precision_of(args.precision, accelerator)
    args.workers = loading_processes(args.workers, accelerator.device)
    only_main_speaks(accelerator)
    return accelerator


def weights_dtype(precision: str) -> torch.dtype:
    """The type that weights are held in: float64 at the precision "fp64", float32 at any other."""
    return torch.float64 if precision == "fp64" else torch.float32


def in_processes(accelerator: Accelerator, precision: str) -> str:
    """How the work is done, as a part of a command's title."""
    return f"{accelerator.num_processes} process(es) on {accelerator.device.type} in {precision}"
