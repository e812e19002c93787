"""The steps of the demo and their expected results: the work of recipes/demo/demo.py."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image

from recipes.data.splits import load_splits
from recipes.runtime.launchers import launch
from recipes.runtime.look import ending, title
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.explanation import explain as explained
from vgg_zoo.extras import install
from vgg_zoo.images.preprocessing import centre_crop, subtract_mean
from vgg_zoo.results import read_results

RECIPE = "digits_vgg_a"
PROCESSES = 2
TESTED = 360
MOST_ERRORS = 0.3
"""Maximum error of the held-out digits, by any test; a net that guesses gets 90% wrong. Ten seeds, each with one and
two threads, with AVX-512 and with AVX2, on one Intel Xeon (torch 2.14.1) gave on a crop 2.7% (standard deviation 1.1),
densely 3.2% (2.2; at most 12.8), by crops 1.6% (1.1), by an SVM 1.4% (0.8): the bound is twelve deviations above the
dense mean. Other machines and versions of PyTorch were not tried."""

MEGABYTES = 100
"""Megabytes that the demo writes."""


def check_machine(output: Path) -> None:
    """Report what is missing before any long work begins.

    Raises:
        ValueError: A package is not installed, the folder cannot be written to, or the disk is full.
    """
    missing = [name for name in ("sklearn", "matplotlib") if find_spec(name) is None]
    if missing:
        raise ValueError(f"{' and '.join(missing)} cannot be imported; install them: {install('train')}")
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            free = shutil.disk_usage(output).free // 10**6
    except OSError as error:
        raise ValueError(f"cannot write to {output} ({error.strerror}); --output names another folder") from error
    if free < MEGABYTES:
        raise ValueError(f"{free} MB are free for {output}, {MEGABYTES} MB are needed; --output names another folder")
    compilers = (*os.environ.get("CXX", "").split()[:1], "c++", "g++", "clang++")
    if not any(map(shutil.which, compilers)):
        print("note: no C++ compiler is here, so nets run by PyTorch's own convolutions; g++ makes them faster")


def train(output: Path) -> dict[str, Any]:
    """Train the net; returns its results, which show that both processes worked."""
    launch("train", "--recipe", RECIPE, "--data", "digits", "--output", output, "--overwrite", processes=PROCESSES)
    results = read_results(output, "training")
    if results["processes"] != PROCESSES:
        raise ValueError(f"trained in {results['processes']} process(es), not in {PROCESSES}")
    return results


def test(net: Path, output: Path) -> dict[str, Any]:
    """Test the net densely (Sect. 3.2), each digit once; returns its errors."""
    options = ("--model", net, "--data", "digits", "--output", output, "--overwrite")
    launch("evaluate", *options, processes=PROCESSES)
    return read_results(output, "classes")


def load(net: Path, example: dict[str, Any], mean: Any) -> tuple[Any, Any, float]:
    """Load the folder with timm; returns the digit of `example`, its name, and the difference of its logits."""
    model: Any = timm.create_model(f"local-dir:{net}", pretrained=True).eval()
    pixels = load_splits("digits")[1].pixels(example["index"])
    crop = centre_crop(pixels, example["scale"], example["crop_size"])
    with torch.inference_mode():
        logits = model(subtract_mean(crop[None], mean))[0]
    difference = (logits - torch.tensor(example["logits"])).abs().max() / logits.abs().max()
    return pixels, model.pretrained_cfg["label_names"][int(logits.argmax())], float(difference)


def explain(net: Path, pixels: Any, scales: list[int], folder: Path) -> Path:
    """Draw the digit, and where the net sees its classes in it."""
    digit, picture = folder / "digit.png", folder / "explained.png"
    Image.fromarray(pixels).resize((240, 240), Image.Resampling.BICUBIC).save(digit)
    explained(digit, DenseEvaluator(str(net), tuple(scales), flip=False)).draw(picture)
    return digit


def check_errors(errors: dict[str, float], images: set[int]) -> None:
    """Check what every correct build gives: each digit is counted once, and few are wrong.

    Raises:
        ValueError: A check fails.
    """
    if images != {TESTED}:
        raise ValueError(f"{sorted(images)} digits were counted, not {TESTED} by each test")
    for name, error in errors.items():
        if error > MOST_ERRORS:
            raise ValueError(
                f"{error:.1%} of the digits are wrong by the {name} test; at most {MOST_ERRORS:.0%} can be"
            )


def check_files(output: Path) -> None:
    """Raise `ValueError` if a file of the summary is missing."""
    names = ("net/model.safetensors", "net/learning_curve.png", "test/results.json", "digit.png", "explained.png")
    missing = [str(output / name) for name in names if not (output / name).is_file()]
    if missing:
        raise ValueError(f"nothing wrote {', '.join(missing)}")


def summary(output: Path, results: dict[str, Any], errors: dict[str, float], loaded: str) -> str:
    """Print what was trained, its errors, the files, and what to try next."""
    net, python = output / "net", _near(Path(sys.executable))
    images, processes, steps = results["data"]["training_images"], results["processes"], results["steps"]
    rates = ", ".join(f"{name} {error:.1%}" for name, error in errors.items())
    figures = {
        "trained": f"net A, a quarter as wide, on {images:,} digits in {processes} processes, {steps} steps",
        "errors": f"{rates} of {TESTED} held-out digits (a guess: 90%)",
        "loaded": loaded,
    }
    written = {
        net: f"the net, for timm.create_model('local-dir:{net}', pretrained=True)",
        output / "test": "the dense test",
        output / "digit.png": "a digit that the net did not learn from",
        output / "explained.png": "where in it the net sees which digit",
    }
    following = [
        "make space: the net as a page in the browser",
        "make tour: crops, fusion, linear SVMs, localisation, a repository for the Hub",
        f"{python} recipes/train.py --recipe {RECIPE} --data FOLDER: images of your own, a folder for each class",
    ]
    return "\n".join([ending(figures, written), *(f"next     {line}" for line in following)])


def _near(path: Path) -> Path:
    """The path relative to the current folder, if it is in it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def run(args: argparse.Namespace) -> None:
    """Run every step."""
    output = args.output
    check_machine(output)
    started = time.perf_counter()
    print(title("demo", f"{RECIPE} on digits", f"{PROCESSES} processes", str(output)))
    print("[1/4] training a small net A on handwritten digits, about a minute on two cores", flush=True)
    results = train(output / "net")
    print("\n[2/4] testing it densely, a few seconds", flush=True)
    dense = test(output / "net", output / "test")
    errors = {"single crop": results["results"]["single crop"]["top1"], "dense": dense["results"]["top1"]}
    check_errors(errors, {results["results"]["single crop"]["images"], dense["results"]["images"]})
    print("\n[3/4] loading it with timm", flush=True)
    example = results["example"]
    pixels, name, difference = load(output / "net", example, results["data"]["mean"])
    if difference > 1e-4:
        raise ValueError(f"the net that timm loads is not the one that was trained: logits differ by {difference:.0e}")
    print("\n[4/4] drawing what it sees", flush=True)
    digit = explain(output / "net", pixels, dense["nets"][0]["scales"], output)
    check_files(output)
    loaded = f'by timm: {digit} is a "{name}"; logits differ by {difference:.0e} from the training\'s'
    print(f"\n{summary(output, results, errors, loaded)}")
    print(f"\ndemo done in {time.perf_counter() - started:.0f} s")
