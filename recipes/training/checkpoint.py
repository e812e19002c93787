"""Checkpoints, which are whole or do not exist, however a run ends.

A checkpoint is a folder that timm loads (`model.safetensors`, `config.json`), with SGD's momentum, the moving average
if there is one, and `state.json`, which has the progress of the run and the hashes of the other files. It is written
under a name that begins with a dot, flushed to disk, and renamed; only then are older checkpoints removed.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from vgg_zoo.json_files import read_object
from vgg_zoo.weights.files import file_digest, naming_full_disk

STATE, MOMENTUM, AVERAGE = "state.json", "momentum.safetensors", "average.safetensors"

_WAY_OUT = "name another one with --resume, or begin again with --overwrite"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        folder: Folder of the checkpoint.
        state: Content of `state.json`.
    """

    folder: Path
    state: Mapping[str, Any]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of one of its files, on the CPU; none if there is no such file."""
        path = self.folder / name
        return load_file(path) if path.exists() else {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the block, turn errors for missing or wrong fields into a `ValueError` that names `state.json`."""
        try:
            yield
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.folder / STATE} is not what a training writes ({error!r}); {_WAY_OUT}") from error


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of a run.

    Attributes:
        folder: The folder that has a sub-folder for each checkpoint.
        keep_last: Number of newest checkpoints to keep.
        keep_best: Number of further checkpoints to keep, those with the least validation error.
    """

    folder: Path
    keep_last: int = 2
    keep_best: int = 1

    def save(
        self,
        step: int,
        state: Mapping[str, Any],
        write_net: Callable[[Path], None],
        tensors: Mapping[str, Mapping[str, Tensor]],
    ) -> None:
        """Write a checkpoint, then remove those that are not to be kept any more.

        Args:
            step: SGD steps so far; the checkpoint's name.
            state: Plain data for `state.json`. If its "error" is a number, it determines which checkpoints are best.
            write_net: A function that writes the net for timm into a given folder.
            tensors: Further files by name.

        Raises:
            FullDiskError: There is no space; the new checkpoint is removed, and older ones are kept.
        """
        self.clean()
        final = self.folder / f"step-{step:08}"
        writing = self.folder / f".{final.name}.writing"
        try:
            with naming_full_disk(final):
                writing.mkdir(parents=True)
                _write(writing, step, state, write_net, tensors)
                if final.exists():  # damaged: a whole one would have been resumed
                    self._remove(final)
                writing.rename(final)
                _to_disk(self.folder)
        finally:
            shutil.rmtree(writing, ignore_errors=True)
        self._prune()

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint; damaged ones are skipped with a warning."""
        for folder in sorted(self.folder.glob("step-*"), reverse=True):
            try:
                return load_checkpoint(folder)
            except ValueError as error:
                _log.warning("skipping a checkpoint: %s", error)
        return None

    def clean(self) -> None:
        """Remove half-written and half-removed folders of killed runs."""
        for path in self.folder.glob(".step-*"):
            shutil.rmtree(path)

    def finish(self) -> None:
        """Keep only the best checkpoints after a run's end."""
        self.clean()
        Checkpoints(self.folder, 0, self.keep_best)._prune()
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _prune(self) -> None:
        """Remove the checkpoints that are not to be kept; damaged ones do not count among those that are kept."""
        folders = sorted(self.folder.glob("step-*"))
        whole = [folder for folder in folders if _is_whole(folder, _stamp(folder))]
        kept = set(whole[max(0, len(whole) - self.keep_last) :])
        errors = {folder: error for folder in whole if (error := _error_of(folder)) is not None}
        kept |= set(sorted(errors, key=errors.__getitem__)[: self.keep_best])
        for folder in folders:
            if folder not in kept:
                self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """Remove a folder; while half removed, it must not look like a checkpoint."""
        removing = folder.with_name(f".{folder.name}.removing")
        folder.rename(removing)
        shutil.rmtree(removing)


def _write(
    folder: Path,
    step: int,
    state: Mapping[str, Any],
    write_net: Callable[[Path], None],
    tensors: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Write all files of a checkpoint, and flush them to disk."""
    write_net(folder)
    for name, content in tensors.items():
        if content:
            save_file({key: value.detach().cpu().contiguous() for key, value in content.items()}, folder / name)
    hashes = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    (folder / STATE).write_text(json.dumps({"step": step, **state, "sha256": hashes}, indent=2) + "\n")
    for path in (*folder.iterdir(), folder):
        _to_disk(path)


def load_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint, after a comparison of its files with their hashes.

    Raises:
        ValueError: It is incomplete or altered; the message names the folder and the file.
    """
    try:
        state = read_object(folder / STATE, _WAY_OUT, ("step", "sha256"))
        hashes: dict[str, str] = state["sha256"]
        int(state["step"])
        altered = [name for name in hashes if Path(name).name != name or file_digest(folder / name) != hashes[name]]
        unknown = {path.name for path in folder.iterdir()} - {STATE, *hashes}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder} is incomplete ({type(error).__name__}: {error})") from error
    if altered:
        raise ValueError(f"{folder}/{altered[0]} is not as it was written")
    if unknown or not hashes:
        raise ValueError(f"{folder} is incomplete ({STATE} has no hash of {', '.join(sorted(unknown)) or 'any file'})")
    return Checkpoint(folder, state)


@lru_cache(maxsize=64)
def _is_whole(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> bool:
    """Whether a checkpoint is whole; its files are hashed once, and again if one has another time stamp."""
    try:
        load_checkpoint(folder)
    except ValueError as error:
        _log.warning("a damaged checkpoint is not kept: %s", error)
        return False
    return True


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    found = ((path.name, path.stat()) for path in sorted(folder.iterdir()))
    return tuple((name, status.st_mtime_ns, status.st_size) for name, status in found)


def _error_of(folder: Path) -> float | None:
    try:
        error = read_object(folder / STATE, _WAY_OUT).get("error")
    except (OSError, ValueError):
        return None
    return float(error) if isinstance(error, int | float) else None


def _to_disk(path: Path) -> None:
    """Flush written files to the disk, so that they are not only in the system's memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
