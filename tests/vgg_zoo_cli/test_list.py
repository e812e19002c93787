"""`vgg-zoo list`."""

import json
from pathlib import Path

import pytest

from tests.vgg_zoo_cli.conftest import Run
from vgg_zoo.weights import needed


def test_the_table_and_json_say_the_same(run: Run) -> None:
    """A line for each set of weights and for each net without any."""
    done = run("list")
    rows = json.loads(run("list", "--json").out)
    assert len(done.rows) == len(rows) + 1
    named = {row["name"]: row for row in rows if row["name"]}
    assert [row[0] for row in done.rows[1:]] == [row["name"] or f"{row['net']}, no weights published" for row in rows]
    oxford = named["vgg_d.oxford_in1k"]
    assert (oxford["layers"], oxford["parameters"], oxford["gmacs"]) == (16, 138_357_544, 15.47)
    assert (oxford["top1_error"], oxford["top5_error"], oxford["license"]) == (24.8, 7.5, "cc-by-4.0")
    assert oxford["bytes"] == 553_432_081
    assert named["vgg_b.tv_in1k"]["top1_error"] == pytest.approx(100 - 69.95)
    assert named["vgg_b.tv_in1k"]["top5_error"] == pytest.approx(100 - 89.26)
    assert {row["net"] for row in rows if not row["name"]} == {"vgg_a_lrn", "vgg_b_shallow", "vgg_c"}


def test_what_is_cached_is_said(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the Hub's cache, as its client lays it out."""
    folder = tmp_path / "models--timm--vgg16.tv_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("c" * 40)
    (folder / "snapshots" / ("c" * 40)).mkdir(parents=True)
    (folder / "snapshots" / ("c" * 40) / "model.safetensors").write_bytes(b"weights")
    look_up = needed.try_to_load_from_cache
    monkeypatch.setattr(
        needed, "try_to_load_from_cache", lambda *words, **options: look_up(*words, **options, cache_dir=tmp_path)
    )
    cached = {row["name"]: row["cached"] for row in json.loads(run("list", "--json").out)}
    assert [name for name, there in cached.items() if there] == ["vgg_d.tv_in1k"]
    assert cached[None] is None
