"""The beginning and the end of every command's work; imported after the options are parsed."""

import argparse
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from accelerate import Accelerator

from command_line.parser import MistypedError
from recipes.runtime.hardware import device_restored, loading_processes, precision_of, use_device
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
    """Do the work of a command. For errors that the user can correct, print one line instead of a traceback.

    These are a ValueError (about the request), an OSError (weights cannot be downloaded or results not written),
    another process that is gone, and a signal to stop.

    Args:
        run: A function that does the work; returns an exit code, or None for 0.
        args: The parsed command line.
        ends: Whether the process ends with the command.

    Returns:
        The exit code: 2 for wrong usage, 1 after another error, 143 or 130 after a signal.
    """
    ended_well = False
    heeded = ExitStack()
    heeded.enter_context(device_restored())
    heeded.enter_context(STOP.heeded())  # until the last message is printed
    show_bars_of_datasets(False)  # but for what it fetches: `recipes.data.source`
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # about odd metadata in a data set's images
            code = run(args) or 0
        ended_well = True
        return code
    except (ValueError, OSError) as error:
        if not is_said_elsewhere(error):
            full = full_disk(error) is not None  # also for files of other libraries, whose names are unknown here
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
    """Begin a command that tests a net.

    Args:
        args: The command line, with --output and the options of `add_testing_options`. This function adds
            `copy_precision`, the `precision` of the nets' evaluators and descriptors, and calls `begin_processes`.

    Returns:
        The checked folder, and the processes.

    Raises:
        ValueError: The folder has other content, or the CPU does not support bf16.
    """
    folder = OutputFolder(args.output)
    accelerator = begin_processes(args)
    args.copy_precision = copy_precision(args.precision, accelerator.device, args.exact)
    from_main(accelerator, lambda: folder.check())
    return folder, accelerator


def copy_precision(precision: str, device: torch.device, exact: bool) -> str | None:
    """The `precision` of evaluators and descriptors: "bf16" for copies on a CPU; None elsewhere, where autocast is
    used.

    Args:
        precision: Precision of the command, one of `recipes.names.PRECISIONS`.
        device: Device of the nets.
        exact: Whether the nets run themselves, not their copies.

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
    """Start the processes of a command, and set the defaults of --precision and --workers, which depend on them.

    Args:
        args: The command line, with the options of `add_testing_options` or `add_hardware_options`.
        folder: Folder for trackers; without it there are none.

    Raises:
        ValueError: The launcher's settings or the device do not fit.
    """
    use_device(args.device)
    bf16_gradients, trackers = getattr(args, "bf16_gradients", False), args.trackers if folder else ()
    accelerator = make_accelerator(folder, args.precision, args.deterministic, bf16_gradients, trackers)
    args.precision = precision_of(args.precision, accelerator)
    args.workers = loading_processes(args.workers, accelerator.device)
    only_main_speaks(accelerator)
    return accelerator


def weights_dtype(precision: str) -> torch.dtype:
    """The type of the weights: float64 with the precision "fp64", float32 with any other."""
    return torch.float64 if precision == "fp64" else torch.float32


def in_processes(accelerator: Accelerator, precision: str) -> str:
    """How the work is done, as a part of a command's title."""
    return f"{accelerator.num_processes} process(es) on {accelerator.device.type} in {precision}"
