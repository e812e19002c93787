"""From the Hub to a net: `verify`, `lock`, timm by name, and caches that are empty, altered or without a network."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.commands import fails, make_hub, package_copy, python, start, succeed
from tests.hub.local_hub import (
    FOREVER,
    Fault,
    LocalHub,
    corrupt_body,
    cut_body,
    delay,
    reset,
    short_body,
    status,
)
from tests.hub.nets import REPOSITORY, make_built
from vgg_zoo.weights.files import file_digest

NAME = "vgg_d.made"
WEIGHTS = "/storage/"

pytestmark = pytest.mark.slow

LOAD = f"""
import sys, timm, torch, vgg_zoo
net = timm.create_model("{NAME}", pretrained=True).eval()
torch.manual_seed(0)
print(net(torch.randn(1, 3, 64, 64)).tolist(), net.pretrained_cfg["label_names"][1])
"""

VERIFY = f"""
import vgg_zoo
print(vgg_zoo.verify_weights("{NAME}"))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHub, Path, Path]]:
    """A Hub with a published net, its folder, and a checkout whose lock file has it."""
    place = tmp_path_factory.mktemp("world")
    folder, checkout = make_built(place), package_copy(place / "checkout")
    with make_hub(place / "hub") as hub:
        assert "was published" in succeed(hub, place / "home", "publish", folder)
        assert "published but not verified" in fails(hub, place / "home", "lock", folder)
        done = succeed(hub, place / "home", "publish", folder, "--lock", cwd=checkout)
        assert "is up to date" in done
        assert "the posteriors are the folder's" in done
        assert f"published.json: {NAME} at {hub.head(REPOSITORY)}" in done
        yield hub, folder, checkout


@pytest.fixture
def hub(world: tuple[LocalHub, Path, Path]) -> Iterator[LocalHub]:
    """The Hub, well and with an empty log."""
    world[0].requests.clear()
    yield world[0]
    world[0].heal()


@pytest.fixture
def folder(world: tuple[LocalHub, Path, Path]) -> Path:
    """The published content."""
    return world[1]


@pytest.fixture
def checkout(world: tuple[LocalHub, Path, Path]) -> Path:
    """With a lock file of its own."""
    return world[2]


def cached(home: Path) -> Path:
    """The weights' bytes in the cache."""
    (link,) = home.glob("hub/models--*/snapshots/*/model.safetensors")
    return link.resolve()


def flip(file: Path) -> None:
    """One bit of the last tensor."""
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)


def test_the_lock_file_has_commit_hash_and_size(hub: LocalHub, folder: Path, checkout: Path, tmp_path: Path) -> None:
    """Written once; a second time nothing changes."""
    entry = json.loads((checkout / "vgg_zoo/weights/published.json").read_text())[NAME]
    weights = folder / "model.safetensors"
    assert entry["revision"] == hub.head(REPOSITORY)
    assert (entry["sha256"], entry["size"]) == (file_digest(weights), weights.stat().st_size)
    assert f"has {NAME} already" in succeed(hub, tmp_path, "lock", folder, cwd=checkout)


def test_timm_loads_it_by_name_and_asks_nobody_again(hub: LocalHub, checkout: Path, tmp_path: Path) -> None:
    """From a fresh cache; then, at its commit, without one request, also where there is no network."""
    first = python(hub, tmp_path, LOAD, cwd=checkout)
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip().endswith("class 1")
    assert hub.requests
    hub.requests.clear()
    again = python(hub, tmp_path, LOAD, cwd=checkout)
    offline = python(hub, tmp_path, LOAD, cwd=checkout, HF_HUB_OFFLINE="1")
    assert first.stdout == again.stdout == offline.stdout
    assert hub.requests == []


def test_it_is_the_net_that_was_published(hub: LocalHub, folder: Path, checkout: Path, tmp_path: Path) -> None:
    """By name, from the Hub under its tag, from the folder, and in the dense wrapper: the same answers."""
    code = f"""
import numpy, timm, torch, vgg_zoo
folder = {str(folder)!r}
names = ["{NAME}", "hf-hub:{REPOSITORY}@v1", f"local-dir:{{folder}}"]
images = torch.randn(2, 3, 64, 96)
nets = [timm.create_model(name, pretrained=True).eval() for name in names]
logits = [net(images) for net in nets]
assert all(torch.equal(logits[0], other) for other in logits[1:])
photo = numpy.arange(70 * 90 * 3, dtype=numpy.uint8).reshape(70, 90, 3)
wrappers = [
    vgg_zoo.DenseEvaluator.from_pretrained("{REPOSITORY}", revision="{hub.head(REPOSITORY)}"),
    vgg_zoo.DenseEvaluator.from_pretrained(folder),
    vgg_zoo.DenseEvaluator("{NAME}", scales=(64, 96)),
]
posteriors = [wrapper([photo]) for wrapper in wrappers]
assert wrappers[0].scales == (64, 96)
assert all(torch.equal(posteriors[0], other) for other in posteriors[1:])
assert timm.list_pretrained("vgg_d*").count("{NAME}") == 1
assert timm.get_pretrained_cfg("{NAME}").license == "mit"
print("all equal")
"""
    done = python(hub, tmp_path, code, cwd=checkout)
    assert done.stdout.strip() == "all equal", done.stderr


def test_a_flipped_bit_in_the_cache_is_mended(hub: LocalHub, folder: Path, checkout: Path, tmp_path: Path) -> None:
    """Before a net is loaded, and by `verify_weights`."""
    expected = python(hub, tmp_path, LOAD, cwd=checkout).stdout
    for code in (LOAD, VERIFY):
        flip(cached(tmp_path))
        done = python(hub, tmp_path, code, cwd=checkout)
        assert done.returncode == 0, done.stderr
        assert file_digest(cached(tmp_path)) == file_digest(folder / "model.safetensors")
        if code == LOAD:
            assert done.stdout == expected


def test_a_flipped_bit_without_a_network_is_told(hub: LocalHub, checkout: Path, tmp_path: Path) -> None:
    """Altered weights are not loaded."""
    python(hub, tmp_path, LOAD, cwd=checkout)
    flip(cached(tmp_path))
    done = python(hub, tmp_path, LOAD, cwd=checkout, HF_HUB_OFFLINE="1")
    assert done.returncode != 0
    assert "is altered" in done.stderr
    assert "Delete it" in done.stderr


def test_without_cache_and_network_it_is_told(hub: LocalHub, checkout: Path, tmp_path: Path) -> None:
    """By the Hub's own error."""
    done = python(hub, tmp_path, LOAD, cwd=checkout, HF_HUB_OFFLINE="1")
    assert done.returncode != 0
    assert "LocalEntryNotFoundError" in done.stderr
    assert hub.requests == []


@pytest.mark.parametrize(
    ("fault", "times", "message"),
    [
        (corrupt_body(), 1, None),
        (corrupt_body(), FOREVER, "is not the published file"),
        (short_body(), FOREVER, "Consistency check failed"),
        (cut_body(1000), 1, None),
        (reset(), 1, "cannot be downloaded (ReadError"),
        (status(503), 1, "503"),
    ],
)
def test_a_bad_download_is_mended_or_told(
    hub: LocalHub, checkout: Path, tmp_path: Path, fault: Fault, times: int, message: str | None
) -> None:
    """A body of the right size with a wrong bit, short ones, broken connections: never a net with other weights."""
    good = python(hub, tmp_path / "good", LOAD, cwd=checkout).stdout
    hub.fail("GET", WEIGHTS, fault, times)
    done = python(hub, tmp_path / "bad", LOAD, cwd=checkout)
    if message is None:
        assert done.returncode == 0, done.stderr
        assert done.stdout == good
    else:
        assert done.returncode != 0
        assert message in done.stderr
    hub.heal()
    assert python(hub, tmp_path / "bad", LOAD, cwd=checkout).stdout == good


def test_a_kill_in_the_middle_of_a_download_costs_nothing(hub: LocalHub, checkout: Path, tmp_path: Path) -> None:
    """SIGKILL while the weights come: no half a file is loaded, and the next load is good."""
    good = python(hub, tmp_path / "good", LOAD, cwd=checkout).stdout
    home = tmp_path / "killed"
    hub.fail("GET", WEIGHTS, delay(30))
    process = start(hub, home, "-c", LOAD, cwd=checkout)
    deadline = time.monotonic() + 120
    while hub.planned and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    process.kill()
    assert python(hub, home, LOAD, cwd=checkout).stdout == good


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (corrupt_body(), "the downloaded bytes have another sha256"),
        (short_body(), "Consistency check failed"),
        (status(503), "503"),
        (reset(), "the Hub does not answer"),
    ],
)
def test_verify_finds_what_strangers_would_get(
    hub: LocalHub, folder: Path, tmp_path: Path, fault: Fault, message: str
) -> None:
    """And marks nothing as verified."""
    own = Path(shutil.copytree(folder, tmp_path / "folder"))
    record = folder.with_name(f"{folder.name}.published.json")
    content = json.loads(record.read_text()) | {"verified": False}
    mine = own.with_name(f"{own.name}.published.json")
    mine.write_text(json.dumps(content))
    hub.fail("GET", WEIGHTS, fault, FOREVER)
    assert message in fails(hub, tmp_path / "home", "verify", own)
    hub.heal()
    assert "published but not verified" in fails(hub, tmp_path / "home", "lock", own)
    succeed(hub, tmp_path / "home", "verify", own)
    assert json.loads(mine.read_text())["verified"] is True


def test_weights_that_are_not_ours_are_checked_by_the_hubs_own_hash(hub: LocalHub, tmp_path: Path) -> None:
    """torchvision's weights in timm's repository: the cache knows their sha256, and without links the Hub tells it."""
    repository, code = "timm/vgg11.tv_in1k", VERIFY.replace(NAME, "vgg_a.tv_in1k")
    hub.create(repository)
    hub.commit(repository, {"model.safetensors": bytes(range(256)) * 40})
    first = python(hub, tmp_path, code)
    assert first.returncode == 0, first.stderr
    flip(cached(tmp_path))
    assert python(hub, tmp_path, code).stdout == first.stdout
    assert cached(tmp_path).read_bytes() == bytes(range(256)) * 40
    (link,) = tmp_path.glob("hub/models--*/snapshots/*/model.safetensors")
    link.unlink()
    link.write_bytes(bytes(range(256)) * 40)
    hub.requests.clear()
    assert python(hub, tmp_path, code).stdout == first.stdout
    assert [path for method, path in hub.requests if method == "POST" and "/paths-info/" in path]
