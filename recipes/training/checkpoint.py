"""Checkpoints: whole or not there, however a run ends.

A checkpoint is a folder that timm loads (`model.safetensors`, `config.json`), with SGD's momentum, the moving average
where there is one, and `state.json`, which says how far the run is and holds the hashes of the other files. It is
written under a name that begins with a dot, brought to the disk, and renamed; only then older ones are removed.
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
        folder: Where it is.
        state: What `state.json` says.
    """

    folder: Path
    state: Mapping[str, Any]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Those of one of its files, on the CPU; none where there is no such file."""
        path = self.folder / name
        return load_file(path) if path.exists() else {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Name `state.json` where a block misses a field of it, or finds one of another type, as a `ValueError`."""
        try:
            yield
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.folder / STATE} is not what a training writes ({error!r}); {_WAY_OUT}") from error


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of a run.

    Attributes:
        folder: Holds a folder for each.
        keep_last: The newest ones to keep.
        keep_best: The ones with the least validation error to keep besides.
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
        """Write a checkpoint, then remove those that are no longer to be kept.

        Args:
            step: SGD steps so far; the checkpoint's name.
            state: Plain data for `state.json`. Its "error", where it is a number, decides which ones are best.
            write_net: Writes timm's folder into the folder that it is given.
            tensors: Further files by name.

        Raises:
            FullDiskError: There is no space; nothing of it is left, and older checkpoints stay.
        """
        self.clean()
        final = self.folder / f"step-{step:08}"
        writing = self.folder / f".{final.name}.writing"
        try:
            with naming_full_disk(final):
                writing.mkdir(parents=True)
                _write(writing, step, state, write_net, tensors)
                if final.exists():  # damaged: a whole one would have been resumed from
                    self._remove(final)
                writing.rename(final)
                _to_disk(self.folder)
        finally:
            shutil.rmtree(writing, ignore_errors=True)
        self._prune()

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint; damaged ones are passed over with a warning."""
        for folder in sorted(self.folder.glob("step-*"), reverse=True):
            try:
                return load_checkpoint(folder)
            except ValueError as error:
                _log.warning("passing over a checkpoint: %s", error)
        return None

    def clean(self) -> None:
        """Remove what killed runs left: folders half written or half removed."""
        for path in self.folder.glob(".step-*"):
            shutil.rmtree(path)

    def finish(self) -> None:
        """After a run's end: keep only the best ones."""
        self.clean()
        Checkpoints(self.folder, 0, self.keep_best)._prune()
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _prune(self) -> None:
        """Remove what is not to be kept; a damaged one must not take the place of a whole one."""
        folders = sorted(self.folder.glob("step-*"))
        whole = [folder for folder in folders if _is_whole(folder, _stamp(folder))]
        kept = set(whole[max(0, len(whole) - self.keep_last) :])
        errors = {folder: error for folder in whole if (error := _error_of(folder)) is not None}
        kept |= set(sorted(errors, key=errors.__getitem__)[: self.keep_best])
        for folder in folders:
            if folder not in kept:
                self._remove(folder)

    def _remove(self, folder: Path) -> None:
        """A folder that is half removed must not look like a checkpoint."""
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
    """Write all files of a checkpoint, and bring them to the disk."""
    write_net(folder)
    for name, content in tensors.items():
        if content:
            save_file({key: value.detach().cpu().contiguous() for key, value in content.items()}, folder / name)
    hashes = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    (folder / STATE).write_text(json.dumps({"step": step, **state, "sha256": hashes}, indent=2) + "\n")
    for path in (*folder.iterdir(), folder):
        _to_disk(path)


def load_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint, after its files were compared with their hashes.

    Raises:
        ValueError: Incomplete or altered; the message names the folder and the file.
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
    """Whether a checkpoint is whole; its files are hashed once, and again when one of them has another stamp."""
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
    """What was written is on the disk when this returns, not only in the system's memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
