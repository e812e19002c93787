"""`verify`: download the published files into a fresh cache, as a stranger would, and compare bytes and answers.

For a private repository, this checks what users with access get.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import HfApi

from hub.repository.files import SUMS, files_of, sums_of
from hub.repository.net import load_net
from hub.repository.record import read_record, write_record
from hub.repository.remote import OF_THE_HUB
from hub.results.kind import Kind
from hub.results.rows import kind_of
from vgg_zoo.layers import smallest_side
from vgg_zoo.weights.files import file_digest


def verify(folder: Path, api: HfApi) -> str:
    """Download a publication and compare it with its folder; `lock` requires this.

    Args:
        folder: A folder that was published from here.
        api: The client.

    Returns:
        What was found, in words.

    Raises:
        ValueError: The repository has other content, or gives other posteriors or boxes.
        OSError: It cannot be downloaded.
    """
    record = read_record(folder)
    if record.endpoint != api.endpoint:
        raise ValueError(
            f"{folder} was published to {record.endpoint}, and the Hub here is {api.endpoint}; set HF_ENDPOINT"
        )
    with tempfile.TemporaryDirectory() as cache:
        there = Path(api.snapshot_download(record.repository, revision=record.revision, cache_dir=cache))
        _compare_bytes(folder, there, record.repository)
        model = f"hf-hub:{record.repository}@{record.revision}"
        net: Any = timm.create_model(model, pretrained=True, cache_dir=cache).eval()
        kind = kind_of(record.repository.partition("/")[2])
        _compare_answers(kind, folder, there, net)
    write_record(folder, replace(record, verified=True))
    found = f"{len(files_of(folder))} files and the {kind.answer} are the folder's"
    return f"{record.repository} at {record.revision}: {found}"


def _compare_bytes(folder: Path, there: Path, repository: str) -> None:
    """Check that files and hashes are the same; the snapshot's links are followed, so the cache's bytes are hashed."""
    found = {path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()} - OF_THE_HUB
    expected = set(files_of(folder))
    if found != expected:
        raise ValueError(f"{repository} has {sorted(found)}, and the folder {sorted(expected)}")
    listed = (there / SUMS).read_text()
    for line in sums_of(folder).splitlines():
        digest, name = line.split("  ")
        if line not in listed.splitlines() or file_digest(there / name) != digest:
            raise ValueError(f"{name} of {repository} is not the folder's: the downloaded bytes have another sha256")


@torch.inference_mode()
def _compare_answers(kind: Kind, folder: Path, there: Path, net: Any) -> None:
    """Check the answers of the downloaded net, with the downloaded settings, on made-up photos."""
    side = smallest_side(net)
    generator = torch.Generator().manual_seed(0)
    photos = [
        torch.randint(0, 256, (side + 40, side + extra, 3), generator=generator).byte().numpy() for extra in (9, 70)
    ]
    answers = [
        kind.answers(model, kind.read_settings(place / kind.settings_file), photos)
        for model, place in ((load_net(folder), folder), (net, there))
    ]
    difference = (answers[0] - answers[1]).abs().max().item()
    if not difference <= 1e-5:
        raise ValueError(f"the published net's {kind.answer} differ from the folder's by {difference:.1e}")
