"""The linear-SVM command as users type it, on every protocol: figures, files, what is cached, and what may be wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score

from recipes import extract_features, linear_svm
from recipes.data.images import Problem
from recipes.data.options import DataSource
from recipes.evaluation.store import CHUNK
from recipes.features.descriptors import Descriptors, of_folders
from recipes.features.folder import DescriptorRows, descriptor_store
from recipes.features.measures import MEAN_CLASS_RECALL, NO_CLASS, figure, likeliest
from recipes.features.protocols import PROTOCOLS, Request
from recipes.features.report import SvmReport
from recipes.features.samples import Samples, Split
from recipes.features.split import SplitResult
from recipes.features.svm import Choice, LinearSVM
from recipes.features.voc import ACTIONS, CLASSES
from recipes.runtime.output_folder import OutputFolder
from tests.recipes.commands import check_written, command, refusal, succeed
from tests.recipes.data_sets import actions, annotation, caltech, net_folder, voc
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.images.decoding import read_pixels

SCALES = ("--scales", "32", "40")
FEW = ("--C", "1", "100")
CALTECH_CLASSES = {"BACKGROUND_Google": 34, "ant": 40, "barrel": 90}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small net with random weights."""
    return net_folder(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOCdevkit of both years; 2012's test images have no labels."""
    devkit = tmp_path_factory.mktemp("data") / "VOCdevkit"
    voc(devkit / "VOC2007")
    voc(devkit / "VOC2012", labelled_test=False)
    actions(devkit / "VOC2012", 90)
    return devkit


def svm(*words: Any) -> dict[str, Any]:
    """Run the command in this process; what it left in results.json."""
    assert linear_svm.main(list(map(str, words))) == 0
    return json.loads((Path(words[words.index("--output") + 1]) / "results.json").read_text())


def error(*words: Any, code: int = 1) -> str:
    """What the command ends with."""
    return refusal(linear_svm.main, *words, code=code)


@pytest.mark.slow
def test_voc2007_from_the_shell(net: Path, devkit: Path, tmp_path: Path) -> None:
    """Far above chance, with every class, the paper's figures and a picture; the same in two processes."""
    options = ["--protocol", "voc2007", "--model", net, "--data", devkit, *SCALES, *FEW]
    done = succeed(command("linear_svm", *options, "--output", tmp_path / "out", processes=2))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["measure"] == "11-point"
    assert list(results["results"]["per_class"]) == list(CLASSES)
    assert results["results"]["figure"] > 0.6
    assert results["results"]["figure"] == pytest.approx(np.mean(list(results["results"]["per_class"].values())))
    (split,) = results["splits"]
    assert (split["training"], split["test"], split["held_out_for_C"]) == (120, 60, 20 + 4)
    assert [row["figure"] for row in results["paper"]] == [89.3, 89.3, 89.7]
    assert "| D & E | – | 89.7 | – |" in done.stdout
    assert results["not_the_papers"] == [
        "scales [32, 40], not [256, 384, 512, 640, 768]",
        "120 training and 60 test images, not 5011 and 4952",
    ]
    assert "The paper's figures are no comparison: scales" in done.stdout
    assert "Warning" not in done.stderr
    assert (tmp_path / "out" / "per_class_ap.png").stat().st_size > 10_000
    assert svm(*options, "--output", tmp_path / "one")["results"] == results["results"]


@pytest.mark.slow
def test_voc2012_without_labels_of_the_test(
    net: Path, devkit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The evaluation server's files: a line of image and score for each test image; on val there are figures."""
    options = ["--protocol", "voc2012", "--model", net, "--data", devkit, *SCALES, *FEW]
    results = svm(*options, "--output", tmp_path / "out")
    assert results["results"] is None
    files = sorted((tmp_path / "out" / "results" / "VOC2012" / "Main").iterdir())
    assert [file.name for file in files] == [f"comp2_cls_test_{name}.txt" for name in CLASSES]
    lines = [line.split() for line in files[0].read_text().splitlines()]
    assert [image for image, _ in lines] == [f"{number:06}" for number in range(120, 180)]
    of_the_class = [float(score) for image, score in lines if int(image) % 20 == 0]
    assert np.mean(of_the_class) > np.mean([float(score) for _, score in lines]) + 0.3
    said = capsys.readouterr().out
    assert "the test images have no labels" in said
    check_written(said, tmp_path / "out")
    data = actions(tmp_path / "VOC2012", 60, labelled_test=False)
    persons = ["--protocol", "voc2012-action", "--model", net, "--data", data, *SCALES, "--C", "1"]
    assert svm(*persons, "--output", tmp_path / "actions")["results"] is None
    lines = (tmp_path / "actions/results/VOC2012/Action/comp10_action_test_running.txt").read_text().splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["2012_000040", "1"], ["2012_000040", "2"]]
    assert len(lines) == 40
    results = svm(*options, "--output", tmp_path / "val", "--test-set", "val")
    assert results["measure"] == "all-point"
    assert results["results"]["figure"] > 0.5
    assert "the test is on val, not on the test images" in results["not_the_papers"]


@pytest.mark.slow
def test_actions_of_the_image_and_the_box(
    net: Path, devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nets stacked; the box tells who of an image does what, the whole image does not."""
    other = net_folder(tmp_path / "other", seed=1)
    options = ["--protocol", "voc2012-action", "--model", net, other, "--data", devkit, *SCALES, *FEW]
    boxed = svm(*options, "--output", tmp_path / "boxed")
    assert boxed["descriptor"]["dimension"] == 2 * 2 * 128
    assert list(boxed["results"]["per_class"]) == list(ACTIONS)
    assert [row["figure"] for row in boxed["paper"]] == [84.0]
    image = svm(*options, "--output", tmp_path / "image", "--image-only")
    assert image["descriptor"]["dimension"] == 2 * 128
    assert [row["figure"] for row in image["paper"]] == [79.2]
    assert boxed["results"]["figure"] > 0.75 > image["results"]["figure"] > 0.3


@pytest.mark.parametrize(("protocol", "training", "test"), [("caltech101", 30, 50), ("caltech256", 60, None)])
def test_caltech_has_three_splits_and_a_deviation(
    net: Path, tmp_path: Path, protocol: str, training: int, test: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scales stacked, the paper's sizes, the sample deviation over splits, a confusion matrix."""
    counts = {name: count + training - 30 for name, count in CALTECH_CLASSES.items()}
    folder = "101_ObjectCategories" if training == 30 else "256_ObjectCategories"
    caltech(tmp_path / "data" / folder, counts)
    options = ["--protocol", protocol, "--model", net, "--data", tmp_path / "data", "--output", tmp_path / "out"]
    results = svm(*options, *SCALES, *FEW)
    assert results["descriptor"]["dimension"] == 2 * 128
    figures = [split["figure"] for split in results["splits"]]
    assert len(figures) == 3
    for split in results["splits"]:
        assert split["training"] == 3 * training
        assert split["held_out_for_C"] == 3 * training // 5
        assert split["test"] == sum(min(count - training, test or count) for count in counts.values())
    assert results["results"]["figure"] == pytest.approx(np.mean(figures))
    assert results["results"]["deviation"] == pytest.approx(np.std(figures, ddof=1))
    assert results["results"]["figure"] > 0.9
    assert (tmp_path / "out" / "confusion.png").stat().st_size > 5_000
    check_written(capsys.readouterr().out, tmp_path / "out")
    assert svm(*options, *SCALES, *FEW) == results
    said = capsys.readouterr().out
    assert f"already done: {tmp_path / 'out'} is finished; --overwrite does it again" in said
    check_written(said, tmp_path / "out")


def test_mean_class_recall_of_scores_is_scikit_learns() -> None:
    """As the protocol computes it, from scores; a row of NaN is an error."""
    generator = np.random.default_rng(0)
    scores, numbers = generator.normal(size=(200, 4)), generator.integers(0, 4, 200)
    labels = np.where(numbers[:, None] == np.arange(4), 1, -1)
    scores[:5] = np.nan
    predicted = np.where(np.isnan(scores).any(1), 9, np.nan_to_num(scores).argmax(1))
    expected = recall_score(numbers, predicted, labels=range(4), average="macro")
    assert figure(MEAN_CLASS_RECALL, scores, labels) == pytest.approx(expected)
    assert (likeliest(scores) == NO_CLASS).sum() == 5


def test_damaged_images_and_boxes_shift_nobody(
    net: Path, devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are named and counted, not trained on, errors in the test; all other descriptors are as before."""
    data = tmp_path / "VOC2012"
    shutil.copytree(devkit / "VOC2012", data)
    options = ["--protocol", "voc2012-action", "--model", net, *SCALES, "--C", "1"]
    caught: list[Descriptors] = []
    stacked = Descriptors.stacked
    monkeypatch.setattr(Descriptors, "stacked", lambda found: caught.append(stacked(found)) or caught[-1])
    whole = svm(*options, "--data", data, "--output", tmp_path / "whole")
    (data / "JPEGImages" / "2012_000002.jpg").write_text("no image")  # of two persons that are trained on
    (data / "JPEGImages" / "2012_000070.jpg").unlink()  # and two that are tested
    (data / "Annotations" / "2012_000004.xml").write_text(annotation([(1, 1, 40, 40), (50, 1, 41, 40)]))
    (data / "Annotations" / "2012_000005.xml").write_text(annotation([(900, 1, 940, 40), (41, 1, 80, 40)]))
    (data / "Annotations" / "2012_000080.xml").unlink()
    damaged = svm(*options, "--data", data, "--output", tmp_path / "damaged")
    assert "4 image(s) cannot be decoded and 4 box(es) are none" in capsys.readouterr().out
    assert (damaged["data"]["unreadable_images"], damaged["data"]["bad_boxes"]) == (4, 4)
    assert damaged["splits"][0]["trained_on"] == whole["splits"][0]["trained_on"] - 4 == 116
    assert damaged["splits"][0]["test"] == whole["splits"][0]["test"] == 60
    lines = (tmp_path / "damaged" / "bad_images.csv").read_text().splitlines()
    assert lines[0] == "what,index,name,reason"
    assert [line.split(",")[:3] for line in lines[1:]] == [
        *[["box", "9", "2012_000004 2"], ["box", "10", "2012_000005 1"]],
        *[["box", "160", "2012_000080 1"], ["box", "161", "2012_000080 2"]],
        *[["image", "4", "2012_000002 1"], ["image", "5", "2012_000002 2"]],
        *[["image", "140", "2012_000070 1"], ["image", "141", "2012_000070 2"]],
    ]
    _, before, _, after = (found.rows for found in caught)  # of image and box, and of all nets
    bad = [4, 5, 9, 10, 140, 141, 160, 161]
    assert np.isnan(after[bad]).all()
    assert np.allclose(np.delete(after, bad, 0), np.delete(before, bad, 0), atol=1e-5)
    assert damaged["results"]["figure"] < whole["results"]["figure"]


@pytest.mark.slow
def test_descriptors_are_computed_once(
    net: Path, devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another C or another output with the same --cache reads no image; a lost or damaged chunk is computed again."""
    options = ["--protocol", "voc2007", "--model", net, "--data", devkit, *SCALES, "--cache", tmp_path / "cache"]
    first = svm(*options, "--C", "1", "--output", tmp_path / "one")
    check_written(capsys.readouterr().out, tmp_path)
    read: list[Any] = []
    monkeypatch.setattr("recipes.features.voc.read_pixels", lambda file: read.append(file) or read_pixels(file))
    svm(*options, "--C", "10", "--output", tmp_path / "one")
    assert svm(*options, "--C", "1", "--output", tmp_path / "two")["results"] == first["results"]
    assert read == []
    (folder,) = (tmp_path / "cache").iterdir()
    chunks = sorted((folder / "image").glob("*.safetensors"))
    assert len(chunks) == 2
    damaged = bytearray(chunks[0].read_bytes())
    damaged[-1] ^= 1
    chunks[0].write_bytes(damaged)
    assert svm(*options, "--C", "1", "--output", tmp_path / "three")["results"] == first["results"]
    assert len(read) == CHUNK == 128
    chunks[1].unlink()
    assert svm(*options, "--C", "1", "--output", tmp_path / "four")["results"] == first["results"]
    assert len(read) == 180
    svm(*options, "--C", "1", "--output", tmp_path / "two", "--overwrite")
    assert len(read) == 2 * 180
    message = error(*options, "--no-flip", "--output", tmp_path / "two")
    assert "holds a run of something else" in message
    svm(*options, "--no-flip", "--output", tmp_path / "two", "--overwrite", "--C", "1")
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.slow
def test_digits_by_the_folder_protocol(net: Path, tmp_path: Path) -> None:
    """A held-out fifth as the test, the net's own scales, and the other solver."""
    results = svm("--protocol", "folder", "--model", net, "--data", "digits", "--output", tmp_path / "out", *FEW)
    assert results["nets"][0]["scales"] == [32, 40]
    assert results["svm"]["solver"] == "liblinear"
    assert (results["splits"][0]["training"], results["splits"][0]["test"]) == (1437, 360)
    assert results["splits"][0]["not_converged"] == 0
    assert results["results"]["accuracy"] > 0.8
    options = ["--model", net, "--data", "digits", "--output", tmp_path / "out", "--solver", "sgd", "--C", "100"]
    sgd = svm("--protocol", "folder", *options)
    assert (sgd["svm"]["solver"], sgd["svm"]["loss"]) == ("sgd", "hinge")
    assert sgd["results"]["accuracy"] > 0.8


def test_a_mistake_ends_in_one_line(net: Path, devkit: Path, tmp_path: Path) -> None:
    """With the value, the options and the way out; nothing is left behind."""
    out = ("--output", tmp_path / "out", "--model", net)
    for words, message in (
        (["--protocol", "voc2007", "--data", tmp_path / "none"], f"--data {tmp_path}/none is no folder"),
        (["--protocol", "voc2007", "--data", tmp_path], "holds no VOC2007"),
        (["--protocol", "caltech101", "--data", tmp_path], "holds no Caltech-101"),
        (["--protocol", "folder", "--data", tmp_path / "none"], "cannot load the data set"),
        (["--protocol", "voc2007", "--data", devkit, "--layer", "fc9"], "'fc9'"),
    ):
        assert message in error(*words, *out)
    assert not (tmp_path / "out").exists()
    message = error("--protocol", "voc2007", "--model", net, "--data", devkit, "--output", net)
    assert "is the folder of a net or of its training" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--protocol voc2008 --data d",
            "unknown --protocol 'voc2008' (did you mean voc2007?); choose from ",
        ),
        ("--protocol voc2007 --model m", "needs --data"),
        ("--protocol voc2007 --data d --test-set train", "choose from test, val"),
        ("--protocol voc2007 --data d --image-only", "--image-only is for voc2012-action"),
        ("--protocol voc2007 --data d --solver x", "unknown --solver 'x'; choose from auto, liblinear, sgd"),
        ("--protocol voc2007 --data d --C 0", "--C: must be a number above 0"),
        ("--protocol voc2007 --data d --scales 16", "--scales: must be a whole number of at least 32; got 16"),
        ("--protocol voc2007 --data d --combine max", "unknown --combine 'max'; choose from average, stack"),
        ("--protocol voc2007 --features f", "--features goes with --protocol folder"),
        ("--protocol folder --features f --model m", "takes the place of --model and --data"),
        ("--protocol folder --data d", "needs --model, or --features"),
    ],
)
def test_usage_errors_have_their_own_exit_code(words: str, message: str, tmp_path: Path) -> None:
    """The error comes before anything else is checked."""
    assert message in error(*words.split(), "--output", tmp_path / "out", code=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_features_of_folders_are_those_of_the_data(net: Path, tmp_path: Path) -> None:
    """Outputs of recipes/extract_features.py and the command's own descriptors give the same figures."""
    of = ["--model", net, "--data", "digits"]
    for name, options in (("training", ["--training"]), ("test", [])):
        words = [*of, "--output", tmp_path / name, *options]
        assert extract_features.main(list(map(str, words))) == 0
    options = ["--protocol", "folder", "--C", "100"]
    direct = svm(*options, *of, "--output", tmp_path / "direct")
    folders = ["--features", tmp_path / "training", tmp_path / "test"]
    kept = svm(*options, *folders, "--output", tmp_path / "kept")
    assert kept["results"]["figure"] == pytest.approx(direct["results"]["figure"], abs=0.01)
    assert kept["nets"] == direct["nets"]
    one = svm(*options, "--features", tmp_path / "training", "--output", tmp_path / "one")
    assert one["splits"][0]["training"] + one["splits"][0]["test"] == kept["splits"][0]["training"] == 1437
    message = error(*options, *folders, tmp_path / "test", "--output", tmp_path / "three")
    assert "--features takes one folder, or those" in message
    message = error(*options, "--features", net, "--output", tmp_path / "none")
    assert "results.json" in message


def features(folder: Path, *names: str, bad: int) -> str:
    """A folder of descriptors of two classes in turn, one of them of an image that could not be decoded."""
    descriptors = torch.arange(2.0 * len(names)).view(-1, 2)
    descriptors[bad] = torch.nan
    labels, images = torch.arange(len(names)) % 2, torch.arange(len(names))
    problems = [Problem("validation", bad, names[bad], "no image")]
    rows = DescriptorRows(labels=labels, images=images, problems=problems, descriptors=descriptors, names=list(names))
    descriptor_store(OutputFolder(folder), len(names)).write_all(rows)
    about = {"net": {"model": "made"}, "data": {"images": len(names), "class_names": ["ant", "bee"]}}
    OutputFolder(folder).write_results("features", about | {"precision": "no", "features": {}})
    return str(folder)


def test_bad_images_of_kept_features_are_numbered_among_all_samples(tmp_path: Path) -> None:
    """Those of the test folder behind all of the training folder's; each is a row of NaN with its name."""
    folders = [features(tmp_path / "training", "a", "b", "c", bad=1), features(tmp_path / "test", "d", "e", bad=0)]
    samples, found, _ = of_folders(folders)
    assert [(problem.index, problem.name) for problem in found.problems] == [(1, "b"), (3, "d")]
    assert np.isnan(found.rows).all(1).nonzero()[0].tolist() == [1, 3]
    assert samples.names == ["a", "b", "c", "d", "e"]
    assert [split.test.tolist() for split in samples.splits] == [[3, 4]]


def test_the_papers_figure_is_compared_where_all_is_the_papers() -> None:
    """D on 5011 and 4952 images at the paper's scales: 90.0 is 0.7 more than the paper's."""
    labels = np.zeros((5011 + 4952, 20), np.int8)
    split = Split(np.arange(5011), np.arange(5011, len(labels)))
    names = list(map(str, range(len(labels))))
    samples = Samples(
        names=names,
        images=names,
        class_names=CLASSES,
        labels=labels,
        read=lambda _: np.zeros((1, 1, 3), np.uint8),
        splits=(split,),
    )
    machine = LinearSVM(np.zeros((20, 1)), np.zeros(20), 1, 0)
    result = SplitResult(
        split=split,
        used=5011,
        choice=Choice(1.0, {}, 0, 0),
        svm=machine,
        scores=labels[5011:],
        labels=labels[5011:],
        figure=0.9,
        per_class=[0.9] * 20,
    )
    net = {
        "model": "d",
        "configuration": "D",
        "layer": "fc7",
        "scales": [256, 384, 512, 640, 768],
        "combine": "average",
    }
    about = {"name": "voc2007", "protocol": PROTOCOLS["voc2007"], "samples": samples, "solver": "sgd"}
    about |= {"descriptors": Descriptors(np.zeros((1, 4096)), []), "splits": [result]}
    for flip, test_set, written in ((True, "test", "+0.7"), (False, "test", "–"), (True, "val", "–")):
        request = Request(source=DataSource(spec="VOC2007"), test_set=test_set)
        report = SvmReport(request=request, nets=[net | {"flip": flip}], **about)
        assert f"| D `d` | 90.0 | 89.3 | {written} |" in report.summary()


@pytest.mark.skipif(bf16_of_cpu() is None, reason="the CPU has neither AMX nor AVX512-BF16")
def test_bf16_on_a_cpu_is_a_copys(net: Path, tmp_path: Path) -> None:
    """Of the descriptors; results say so."""
    options = ["--protocol", "folder", "--model", net, "--data", "digits", *SCALES, "--C", "1", "--precision", "bf16"]
    results = svm(*options, "--output", tmp_path / "out")
    assert {about["arithmetic"] for about in results["nets"]} == {"bf16"}
