"""The extraction command as users type it: descriptors, processes, kills, damaged images, and what may be wrong."""

import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipes.data.splits import load_splits
from recipes.evaluation.store import CHUNK
from recipes.features.folder import Features, load_features
from tests.recipes.commands import Command, check_written, command, run, start, succeed
from tests.recipes.test_evaluate import photos as photos
from tests.recipes.test_evaluate import save_net
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.features import ImageDescriptor

needs_bf16 = pytest.mark.skipif(bf16_of_cpu() is None, reason="the CPU has neither AMX nor AVX512-BF16")
SETTINGS = ("--scales", "32", "48", "--combine", "stack", "--layer", "fc6")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net of ten digits."""
    return save_net(tmp_path_factory.mktemp("net"), list("0123456789"))


def extract(net: Path, output: Path, *options: Any, data: Any = "digits", processes: int = 1) -> Command:
    """The command line."""
    fixed = ["--model", net, "--data", data, "--output", output, *SETTINGS]
    return command("extract_features", *fixed, *options, processes=processes)


@pytest.fixture(scope="module")
def extracted(net: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The held-out digits, in one process."""
    output = tmp_path_factory.mktemp("extracted") / "out"
    check_written(succeed(extract(net, output)).stdout, output)
    return output


@needs_bf16
def test_bf16_on_a_cpu_is_a_copys(net: Path, extracted: Path, tmp_path: Path) -> None:
    """The descriptors are near those of float32, and the stored identity names the precision."""
    succeed(extract(net, tmp_path / "out", "--precision", "bf16"))
    found, expected = load_features(tmp_path / "out"), load_features(extracted)
    assert (found.settings["net"]["arithmetic"], found.settings["precision"]) == ("bf16", "bf16")
    assert not np.array_equal(found.descriptors, expected.descriptors)
    np.testing.assert_allclose(found.descriptors, expected.descriptors, atol=2e-2)


def assert_same_bits(one: Features, two: Features) -> None:
    """Descriptors, labels, names and problems are equal."""
    assert np.array_equal(one.descriptors, two.descriptors, equal_nan=True)
    assert np.array_equal(one.labels, two.labels)
    assert (one.names, one.problems) == (two.names, two.problems)


def test_the_descriptors_are_the_transformers(net: Path, extracted: Path) -> None:
    """Row by row, with labels, names, and everything that decides them."""
    found, split = load_features(extracted), load_splits("digits")[1]
    assert found.descriptors.shape == (len(found), 64) == (360, 64)
    assert found.descriptors.dtype == np.float32
    descriptor = ImageDescriptor(str(net), "fc6", (32, 48), "stack")
    rows = [0, 100, 359]
    expected = descriptor.transform([split.pixels(row) for row in rows])
    np.testing.assert_allclose(found.descriptors[rows], expected, rtol=1e-4, atol=1e-6)
    assert found.labels.tolist() == [split.label(row) for row in range(360)]
    assert found.names == [str(row) for row in range(360)]
    assert found.problems == []
    assert {name: found.settings["net"][name] for name in ("layer", "scales", "combine", "flip", "l2")} == {
        "layer": "fc6",
        "scales": [32, 48],
        "combine": "stack",
        "flip": True,
        "l2": "scale",
    }
    assert len(found.settings["net"]["weights_sha256"]) == 64
    assert found.settings["data"]["class_names"] == list("0123456789")


def test_a_finished_extraction_given_again_says_so(net: Path, extracted: Path) -> None:
    """Nothing is written."""
    before = {file: file.stat().st_mtime_ns for file in extracted.rglob("*")}
    done = succeed(extract(net, extracted))
    assert f"already done: {extracted} is finished; --overwrite does it again" in done.stdout
    assert {file: file.stat().st_mtime_ns for file in extracted.rglob("*")} == before
    check_written(done.stdout, extracted)


@pytest.mark.slow
def test_two_and_three_processes_and_workers_give_the_same_bits(net: Path, extracted: Path, tmp_path: Path) -> None:
    """Each image exactly once, whichever process describes and decodes it."""
    for processes, options in ((2, ["--workers", 1]), (3, [])):
        output = tmp_path / str(processes)
        done = succeed(extract(net, output, *options, processes=processes))
        assert f"{processes} process(es)" in done.stdout
        assert_same_bits(load_features(extracted), load_features(output))


@pytest.mark.slow
def test_a_killed_command_goes_on_with_the_same_bits(net: Path, extracted: Path, tmp_path: Path) -> None:
    """SIGKILL after the first chunk: that chunk stays, the others are computed, and until then nothing can be read."""
    arguments = extract(net, tmp_path / "out")
    first = tmp_path / "out" / "features" / "00000.safetensors"
    process = start(arguments)
    while not first.exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with pytest.raises(ValueError, match=r"has no results\.json"):
        load_features(tmp_path / "out")
    written = first.stat().st_mtime_ns
    done = succeed(arguments)
    assert f"{CHUNK}/360" in done.stderr  # the progress bar begins where the killed command was
    assert first.stat().st_mtime_ns == written
    assert_same_bits(load_features(extracted), load_features(tmp_path / "out"))


@pytest.mark.slow
def test_a_damaged_image_is_a_row_of_nan_and_named(tmp_path: Path, photos: Path) -> None:
    """Its place and every other row stay; names are paths; --strict stops."""
    net = save_net(tmp_path / "net", ["a", "b", "c"])
    done = succeed(extract(net, tmp_path / "out", "--training", data=photos))
    found = load_features(tmp_path / "out")
    assert re.search(r"^unreadable +1, whose rows are NaN$", done.stdout, re.MULTILINE)
    check_written(done.stdout, tmp_path / "out")
    assert "04.png" in (tmp_path / "out" / "bad_images.csv").read_text()
    assert found.settings["data"]["unreadable_images"] == len(found.problems) == 1
    lost = np.isnan(found.descriptors).all(1)
    assert lost.nonzero()[0].tolist() == [found.problems[0].index]
    assert np.isfinite(found.descriptors[~lost]).all()
    assert found.names[found.problems[0].index].endswith("b/04.png")
    descriptor = ImageDescriptor(str(net), "fc6", (32, 48), "stack")
    good = [name for name, bad in zip(found.names, lost, strict=True) if not bad]
    np.testing.assert_allclose(found.descriptors[~lost], descriptor.transform(good), rtol=1e-4, atol=1e-6)
    assert [found.settings["data"]["class_names"][label] for label in found.labels] == [
        Path(name).parent.name for name in found.names
    ]
    stopped = run(extract(net, tmp_path / "strict", "--training", "--strict", data=photos))
    assert stopped.returncode == 1
    assert "04.png" in stopped.stderr
    assert "Traceback" not in stopped.stderr


@pytest.mark.slow
def test_images_without_labels_and_a_layer_of_the_trunk(net: Path, tmp_path: Path, photos: Path) -> None:
    """Every label is -1; the trunk takes scales under the net's crop."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in sorted(photos.rglob("*.png")):
        shutil.copy(file, flat)
    succeed(extract(net, tmp_path / "out", "--unlabelled", "--layer", "pool3", "--combine", "average", data=flat))
    found = load_features(tmp_path / "out")
    assert found.labels.tolist() == [-1] * 12
    assert found.descriptors.shape == (12, 18)
    assert [Path(name).name for name in found.names] == [f"{place:02}.png" for place in range(12)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "conv9_1"], "the net has no layer 'conv9_1'; it has conv1_1, pool1"),
        (["--combine", "sum"], "unknown --combine 'sum'; choose from average, stack"),
        (["--scales", "16"], "--scales: must be a whole number of at least 32; got 16"),
        (["--l2", "final"], "net.l2 is 'scale' there and 'final' now"),
        (["--data", "nowhere"], "cannot load the data set 'nowhere'"),
    ],
)
@pytest.mark.slow
def test_mistakes_are_told_before_any_work(
    net: Path, extracted: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    """One line with the value and the way out; existing files do not change."""
    done = run(extract(net, extracted, *options))
    assert done.returncode == (2 if message.startswith(("unknown --", "--scales:")) else 1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(load_features(extracted)) == 360


def test_what_is_no_output_of_the_command_is_refused(net: Path, extracted: Path, tmp_path: Path) -> None:
    """A net's folder as --output, and another folder, or one with a lost file, to be read."""
    done = run(extract(net, net, "--overwrite"))
    assert "is the folder of a net or of its training" in done.stderr
    with pytest.raises(ValueError, match=r"name the --output of recipes/extract_features\.py"):
        load_features(tmp_path)
    shutil.copytree(extracted, tmp_path / "damaged")
    file = tmp_path / "damaged" / "features" / "00001.safetensors"
    altered = bytearray(file.read_bytes())
    altered[-1] ^= 1
    file.write_bytes(altered)
    with pytest.raises(ValueError, match=r"00001\.safetensors, the descriptors of images 128 to 255 of 360"):
        load_features(tmp_path / "damaged")
