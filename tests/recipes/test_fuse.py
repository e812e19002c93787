"""Fusion from kept scores."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from recipes.evaluation.fuse import fused
from recipes.evaluation.scores import Scores, score_store, write_results
from recipes.runtime.output_folder import OutputFolder
from tests.recipes.commands import check_written, command, run, succeed

IMAGES, CLASSES = 300, 7


def evaluation(folder: Path, seed: int, outputs: list[int] | None = None, **changes: Any) -> Scores:
    """An evaluation's folder with random posteriors; `outputs` is the order of its net's classes."""
    generator = torch.Generator().manual_seed(seed)
    outputs = outputs or list(range(CLASSES))
    drawn = torch.rand(IMAGES, CLASSES, generator=generator).softmax(1)
    values = {"posteriors": drawn, "labels": torch.arange(IMAGES) % CLASSES, "images": torch.arange(IMAGES)} | changes
    scores = Scores(**values, problems=[])
    score_store(OutputFolder(folder), len(scores)).write_all(scores)
    data = {"spec": "made up", "split": "validation", "classes": CLASSES}
    write_results(OutputFolder(folder), [{"model": folder.name}], data, scores, outputs)
    return scores


def test_a_fusion_is_the_mean_of_all_nets(tmp_path: Path) -> None:
    """Three nets by the command, and a fusion of a fusion: every net counts once."""
    parts = [evaluation(tmp_path / name, seed).posteriors.double() for seed, name in enumerate("abc")]
    a, b, c, two, three = (tmp_path / name for name in ("a", "b", "c", "two", "three"))
    check_written(succeed(command("fuse", a, b, "--output", two)).stdout, two)
    fusion, lines = (
        command("fuse", two, c, "--output", three, "--submission", tmp_path / "top5.txt"),
        tmp_path / "top5.txt",
    )
    for done in (False, True):
        said = succeed(fusion).stdout
        check_written(said, three, lines)
        assert ("already done" in said) == done
    evaluation(c, seed=9)  # images were replaced: the fusion is another
    assert "already done" not in succeed(fusion).stdout
    evaluation(c, seed=2)
    succeed(fusion)
    found = score_store(OutputFolder(three), IMAGES).read_all()
    mean = sum(parts) / 3
    assert torch.allclose(found.posteriors.double(), mean, atol=1e-7)
    assert torch.allclose(fused([c, two])[2].posteriors.double(), mean, atol=1e-7)  # whatever their order
    results = json.loads((three / "results.json").read_text())
    assert [net["model"] for net in results["nets"]] == ["a", "b", "c"]
    right = (mean.argmax(1) == torch.arange(IMAGES) % CLASSES).sum().item()
    assert results["results"]["top1"] == pytest.approx(1 - right / IMAGES)


def test_nets_with_their_classes_in_another_order_are_fused_by_class(tmp_path: Path) -> None:
    """The outputs of the second net are put into the first one's order."""
    order = [3, 1, 0, 2, 6, 5, 4]
    first = evaluation(tmp_path / "a", 0).posteriors
    second = evaluation(tmp_path / "b", 1, order).posteriors
    _, _, scores, _ = fused([tmp_path / "a", tmp_path / "b"])
    by_class = torch.stack([second[:, order[place]] for place in range(CLASSES)], 1)
    assert torch.allclose(scores.posteriors, (first + by_class) / 2)


def test_other_images_cannot_be_fused(tmp_path: Path) -> None:
    """Other pixels, other labels, fewer images, no scores: an error that says which."""
    evaluation(tmp_path / "a", 0)
    other = torch.arange(IMAGES)
    other[5] = -9
    evaluation(tmp_path / "pixels", 1, images=other)
    evaluation(tmp_path / "labels", 1, labels=(torch.arange(IMAGES) + 1) % CLASSES)
    short = {"posteriors": torch.rand(9, CLASSES), "labels": torch.zeros(9, dtype=torch.long)}
    evaluation(tmp_path / "short", 1, **short, images=torch.arange(9))
    evaluation(tmp_path / "chunk", 1)
    (tmp_path / "chunk" / "scores" / "00001.safetensors").unlink()
    for name, message in (
        ("pixels", "1 of 300 differ in their pixels, image 5 first"),
        ("labels", "300 of 300 differ in their labels"),
        ("short", "300 images and .*short of 9"),
        ("chunk", "images 128 to 255 of 300, is missing or damaged"),
        ("none", "no results.json"),
    ):
        with pytest.raises(ValueError, match=message):
            fused([tmp_path / "a", tmp_path / name])


def test_a_fusion_does_not_overwrite_its_parts(tmp_path: Path) -> None:
    """--output is another folder than those that are fused."""
    evaluation(tmp_path / "a", 0)
    (tmp_path / "a" / "run.json").write_text("{}")
    done = run(command("fuse", tmp_path / "a", "--output", tmp_path / "a", "--overwrite"))
    assert done.returncode == 1
    assert "is one of the folders to fuse" in done.stderr
    assert (tmp_path / "a" / "scores").is_dir()
