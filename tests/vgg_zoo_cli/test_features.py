"""`vgg-zoo features`."""

from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tests.vgg_zoo_cli.conftest import GOOD, Run
from vgg_zoo.features import ImageDescriptor
from vgg_zoo_cli import features

NAMES = ["photos/china.jpg", "photos/damaged.jpg", *GOOD[1:]]


def test_an_npz_has_a_row_for_each_photo(photos: Path, net: Path, run: Run) -> None:
    """Those of scikit-learn's transformer; NaN and an error where a photo cannot be read."""
    done = run("features", photos, "--model", net, "--out", "a.npz", "--scales", 64, 96, "--combine", "stack")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1] == "wrote a.npz"
    with np.load("a.npz") as found:
        assert list(found["photos"]) == NAMES
        assert list(found["errors"]) == ["", "no image format that Pillow knows", "", ""]
        rows = found["descriptors"]
    assert (rows.shape, rows.dtype) == ((4, 48), np.float32)
    assert np.isnan(rows[1]).all()
    expected = ImageDescriptor(net, scales=(64, 96), combine="stack").transform(GOOD)
    np.testing.assert_array_equal(rows[[0, 2, 3]], expected)


def test_a_parquet_has_the_same(photos: Path, net: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In groups of rows; null where a photo cannot be read."""
    monkeypatch.setattr(features, "_ROWS_AT_ONCE", 3)
    assert run("features", photos, "--model", net, "--output", "a.parquet", "--layer", "pool5").code == 1
    file = parquet.ParquetFile("a.parquet")
    assert file.num_row_groups == 2
    table = file.read().to_pydict()
    assert table["photo"] == NAMES
    assert table["error"] == [None, "no image format that Pillow knows", None, None]
    assert table["descriptor"][1] is None
    rows = np.array([row for row in table["descriptor"] if row is not None], np.float32)
    np.testing.assert_array_equal(rows, ImageDescriptor(net, layer="pool5").transform(GOOD))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layer", "conv9"], "conv9"),
        (["--out", "there.npz"], "there.npz exists already"),
        (["--scales", "16"], "scales must be smallest sides of at least 64"),
    ],
)
def test_mistakes_write_nothing(words: list[str], said: str, photos: Path, net: Path, run: Run) -> None:
    """One line, exit code 2."""
    Path("there.npz").write_bytes(b"mine")
    out = [] if "--out" in words else ["--out", "a.npz"]
    done = run("features", photos, "--model", net, *out, *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err.splitlines()[-1]
    assert not Path("a.npz").exists()
    assert Path("there.npz").read_bytes() == b"mine"
