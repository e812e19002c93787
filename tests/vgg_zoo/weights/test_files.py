"""Files are written whole or not at all; a full disk is named with the file and the way out."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.full_disks import FULL_DISKS
from tests.helpers import small
from vgg_zoo import DenseEvaluator
from vgg_zoo.weights.files import FullDiskError, full_disk, naming_full_disk, whole
from vgg_zoo.weights.folder import save_folder


def picture(path: Path) -> None:
    """Of noise, which is not compressed."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="png")


WRITERS: dict[str, Callable[[Path], Any]] = {
    "text": lambda path: path.write_text("x" * 200_000),
    "safetensors": lambda path: save_file({"x": torch.zeros(50_000)}, path),
    "torch.save": lambda path: torch.save({"x": torch.zeros(50_000)}, path),
    "png": picture,
}


@pytest.mark.parametrize("disk", FULL_DISKS)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_named(tmp_path: Path, disk: str, writer: str) -> None:
    """Whoever writes; an existing file does not change, and nothing half-written remains."""
    with FULL_DISKS[disk](tmp_path, 100) as folder:
        file = folder / "results.json"
        file.write_text("before")
        with pytest.raises(FullDiskError, match=r"cannot write .*results.json: .*\. Free some space, and") as caught:  # noqa: SIM117
            with whole(file) as writing:
                WRITERS[writer](writing)
        assert "\n" not in str(caught.value)
        assert file.read_text() == "before"
        assert [path.name for path in folder.iterdir() if path.name != "disk"] == ["results.json"]


@pytest.mark.parametrize("disk", FULL_DISKS)
def test_a_folder_of_a_net_is_written_whole(tmp_path: Path, disk: str) -> None:
    """The net that was there stays."""
    net = small()
    DenseEvaluator(net, (64,)).save_pretrained(tmp_path / "whole")
    size = sum(file.stat().st_size for file in (tmp_path / "whole").iterdir())
    with FULL_DISKS[disk](tmp_path, size // 2048) as folder:
        with pytest.raises(FullDiskError, match=r"cannot write .*net/model.safetensors: "):
            save_folder(net, folder / "net", tag="t", licence=None, mean=(0,) * 3, input_size=(3, 64, 64), crop_pct=1)
        assert list((folder / "net").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (OSError("no connection"), False),
        (RuntimeError("PytorchStreamWriter failed writing file data/1: file write failed"), True),
        (RuntimeError("I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("I/O error: Permission denied (os error 13)"), False),
        (RuntimeError("CUDA out of memory"), False),
    ],
)
def test_other_errors_stay_as_they_are(tmp_path: Path, error: Exception, full: bool) -> None:
    """Only errors that more space would fix are reported in this way."""
    assert (full_disk(error) is not None) == full
    with pytest.raises(FullDiskError if full else type(error)) as caught, naming_full_disk(tmp_path):
        raise error
    assert (caught.value is error) != full


def test_the_outermost_block_names_what_is_written(tmp_path: Path) -> None:
    """A checkpoint, and not a file of it that is gone."""
    with pytest.raises(FullDiskError, match=rf"^cannot write {tmp_path / 'outer'}: .*\[Errno 28\]"):  # noqa: SIM117
        with naming_full_disk(tmp_path / "outer"), whole(tmp_path / "inner"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
