"""The stations of the tour and their expected results: the work of recipes/demo/tour.py."""

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from recipes.data.digits import VALIDATION_IMAGES
from recipes.data.splits import load_splits
from recipes.demo.steps.demo import MOST_ERRORS, TESTED
from recipes.evaluation.scores import score_store
from recipes.runtime.launchers import launch
from recipes.runtime.look import ending, title
from recipes.runtime.output_folder import OutputFolder
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.results import read_results

ROOT = Path(__file__).resolve().parents[3]
MOST_BOX_ERRORS = 0.15
"""Maximum error of the digits on photos, by either protocol. Ten seeds (one and two threads, AVX-512 and AVX2) on one
Intel Xeon gave 0.5% (standard deviation 0.2) by the first and 0.9% (0.5; at most 1.8) by the second."""

MADE = {
    "dense": "the dense test",
    "multi_crop": "the test by crops",
    "fused": "both as one",
    "tables": "their errors beside the paper's",
    "repository": "what would be published; README.md is the card",
    "svm": "a linear SVM on fc7",
    "pasted_digits_a": "a net that knows digits on photos",
    "pasted_digits_a_scr": "a net that finds them",
    "boxes_1": "its test where the digit is given",
    "boxes_2": "the test of both",
    "pasted.png": "a photo with a digit",
    "localised.png": "where the nets find it",
    "tour_photos": "scikit-learn's photos",
    "net_d_test": "an untrained net D on them",
    "top5.txt": "its five likeliest classes of each",
    "china.png": "where it sees them",
}
"""What the stations leave, by name."""


def python(*words: str | Path) -> None:
    """Run a module or file of this checkout, and print its command line."""
    print("$", shlex.join(["python", *(str(word).removeprefix(f"{ROOT}/") for word in words)]), flush=True)
    done = subprocess.run([sys.executable, *map(str, words)], check=False)
    if done.returncode:
        raise ValueError(f"it ended with code {done.returncode}; its messages are above")


def at_most(most: float, error: float, images: int, expected: int, of: str) -> None:
    """Raise `ValueError` if a test does not give what every correct build gives."""
    if images != expected:
        raise ValueError(f"{images} images of {of} were counted, not {expected}")
    if error > most:
        raise ValueError(f"{error:.1%} of {of} are wrong; at most {most:.0%} can be")


class Tour:
    """The stations, which share the net of the demo and the folder of the tour."""

    def __init__(self, net: Path, output: Path) -> None:
        self.net, self.output = net, output

    def crops_and_fusion(self) -> None:
        """Test by crops, average with the dense test without running the net again, show the paper's tables."""
        dense, crops, fused = (self.output / name for name in ("dense", "multi_crop", "fused"))
        for folder in (dense, crops):
            options = ("--model", self.net, "--data", "digits", "--protocol", folder.name, "--output", folder)
            launch("evaluate", *options, "--overwrite", processes=2)
        launch("fuse", dense, crops, "--output", fused, "--overwrite", processes=1)
        python(ROOT / "recipes/tables.py", dense, crops, fused, "--output", self.output / "tables", "--overwrite")
        for folder in (dense, crops, fused):
            found = read_results(folder)["results"]
            at_most(MOST_ERRORS, found["top1"], found["images"], TESTED, f"the digits by {folder.name}")

    def repository(self) -> None:
        """Build and check the folder of a repository on the Hub from the net and its results; nothing is sent."""
        folder, results = self.output / "repository", [self.output / name for name in ("dense", "multi_crop")]
        about: list[str | Path] = [
            "--repo",
            "demo/vgg_a.digits",
            "--license",
            "apache-2.0",
            "--output",
            folder,
            "--overwrite",
        ]
        python("-m", "hub", "build", self.net, "--results", *results, *about)
        python("-m", "hub", "check", folder)

    def linear_svm(self) -> None:
        """A linear SVM on the net's fc7 descriptors of the digits (Appendix B)."""
        folder = self.output / "svm"
        options = ("--protocol", "folder", "--model", self.net, "--data", "digits", "--output", folder)
        launch("linear_svm", *options, "--overwrite", processes=2)
        found = read_results(folder)
        error = 1 - found["results"]["accuracy"]
        at_most(MOST_ERRORS, error, found["splits"][0]["test"], TESTED, "the digits by the SVM")

    def localisation(self) -> None:
        """Nets that recognise and localise digits on photos (Appendix A): both protocols, tables, and a picture."""
        classifier, boxes = (self.output / name for name in ("pasted_digits_a", "pasted_digits_a_scr"))
        data = ("--data", "pasted_digits")
        begin = ("--init-from", self.net)
        launch("train", "--recipe", classifier.name, *data, *begin, "--output", classifier, "--overwrite", processes=2)
        launch("train", "--recipe", boxes.name, *data, "--output", boxes, "--overwrite", processes=2)
        one, two = (self.output / f"boxes_{protocol}" for protocol in (1, 2))
        launch("localise", "--protocol", "1", "--model", boxes, *data, "--output", one, "--overwrite", processes=2)
        nets = ("--model", boxes, "64", "--classifier", classifier, "--classifier-scales", "64")
        launch("localise", *nets, *data, "--output", two, "--overwrite", processes=2)
        python(ROOT / "recipes/tables.py", one, two)
        for folder, name in ((one, "box_error"), (two, "error")):
            found = read_results(folder)["results"]
            at_most(MOST_BOX_ERRORS, found[name], found["images"], VALIDATION_IMAGES, f"the boxes in {folder}")
        photo, picture = self.output / "pasted.png", self.output / "localised.png"
        Image.fromarray(load_splits("pasted_digits")[1].pixels(0)).resize((480, 480)).save(photo)
        python("-m", "vgg_zoo", "localise", photo, "--model", boxes, "--classifier", classifier, "--output", picture)

    def photos(self) -> None:
        """A net of full size on photos; its posteriors must be those of timm's net with the same weights."""
        photos, folder, test = (self.output / name for name in ("tour_photos", "untrained_d", "net_d_test"))
        shutil.rmtree(photos, ignore_errors=True)
        photos.mkdir()
        for name in ("china", "flower"):
            Image.fromarray(load_sample_image(f"{name}.jpg")).save(photos / f"{name}.png")
        torch.manual_seed(0)
        net: Any = timm.create_model("vgg_d")
        DenseEvaluator(net).save_pretrained(folder)
        about = ("--model", folder, "--data", photos, "--unlabelled", "--output", test, "--overwrite")
        launch("evaluate", *about, "--protocol", "multi_crop_and_dense", "--scales", "256", processes=1)
        launch("evaluate", *about, "--submission", self.output / "top5.txt", processes=2)
        python(
            "-m", "vgg_zoo", "explain", photos / "china.png", "--model", folder, "--output", self.output / "china.png"
        )
        theirs: Any = timm.create_model("vgg16", pretrained_cfg=net.pretrained_cfg)
        theirs.load_state_dict(net.state_dict())
        shutil.rmtree(folder)  # half a gigabyte of untrained weights
        logs = score_store(OutputFolder(test), 2).read_all().posteriors.log()
        expected = DenseEvaluator(theirs, exact=True)([photos / "china.png", photos / "flower.png"]).log()
        # The outputs of untrained nets hardly differ between classes, so compare the difference with this range.
        difference = ((expected - logs).abs().max() / (logs.max() - logs.min())).item()
        print(f"net D's log-posteriors differ from those of timm's vgg16 by {difference:.0e} of their range")
        if difference > 1e-3:
            raise ValueError("the dense posteriors are not timm's")


def run(args: argparse.Namespace) -> None:
    """Run every station."""
    net, output = args.model, args.output
    started = time.perf_counter()
    if not (net / "results.json").exists():
        raise ValueError(f"{net} has no net; make demo trains it, and --model names another net of the digits")
    output.mkdir(parents=True, exist_ok=True)
    print(title("tour", str(net), str(output)))
    tour = Tour(net, output)
    stations: dict[str, Callable[[], None]] = {
        "crops, fusion and the paper's tables, half a minute": tour.crops_and_fusion,
        "the repository for the Hub, some seconds": tour.repository,
        "a linear SVM on the net's descriptors, some seconds": tour.linear_svm,
        "digits found on photos, about two minutes": tour.localisation,
        "a net D of full size on two photos, a minute": tour.photos,
    }
    for number, (name, visit) in enumerate(stations.items(), start=1):
        print(f"\n[{number}/{len(stations)}] {name}", flush=True)
        visit()
    there = {path: MADE.get(path.name, "") for path in sorted(output.iterdir())}
    print(f"\n{ending({}, there)}\n\ntour done in {time.perf_counter() - started:.0f} s")
