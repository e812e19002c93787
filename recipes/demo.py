"""The zoo end to end on real images, in a few minutes on two CPU cores: what `make demo` runs.

Prints the zoo's table, trains a small net A on scikit-learn's digits in two processes, tests it, loads the folder that
the training left with timm, and classifies a digit with it. Ends with an error if any of that is not as it should be.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import timm
import torch

from recipes.data import load_splits
from recipes.launch import ON_CPU, launch_command
from vgg_zoo.__main__ import zoo_table
from vgg_zoo.preprocessing import centre_crop, subtract_mean

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = 2
MOST_ERRORS = 0.04
"""Of the held-out digits, by either test; five seeds of the recipe gave 0.3% to 2.8%."""


def train(output: Path) -> None:
    """Train in two real processes on the CPU, as a user would on GPUs."""
    command = [*launch_command(PROCESSES), "recipes/train.py", "--recipe", "digits_vgg_a", "--data", "digits"]
    command += ["--output", str(output.resolve()), "--overwrite"]
    print("$", " ".join(["accelerate launch", *command[3:]]), flush=True)
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **ON_CPU})


def check_results(results: dict[str, Any]) -> None:
    """The run used both processes and made few enough errors."""
    if results["processes"] != PROCESSES:
        sys.exit(f"error: trained in {results['processes']} process(es), not in {PROCESSES}")
    for name, result in results["results"].items():
        if result["top1"] > MOST_ERRORS:
            sys.exit(f"error: {name} gets {1 - result['top1']:.1%} right; {1 - MOST_ERRORS:.0%} were expected")


def classify(output: Path, results: dict[str, Any]) -> None:
    """Load the folder with timm, classify one held-out digit, and compare its logits with those of the trained net."""
    model: Any = timm.create_model(f"local-dir:{output}", pretrained=True).eval()
    example, (_, held_out) = results["example"], load_splits("digits")
    crop = centre_crop(held_out.pixels(example["index"]), example["scale"], example["crop_size"])
    with torch.inference_mode():
        logits = model(subtract_mean(crop[None], results["data"]["mean"]))[0]
    difference = (logits - torch.tensor(example["logits"])).abs().max().item()
    names = model.pretrained_cfg["label_names"]
    print(
        f"loaded with timm.create_model('local-dir:{output}', pretrained=True): digit {example['index']} of the "
        f"held-out fifth is a {names[int(logits.argmax())]}, labelled {names[held_out.label(example['index'])]}; its "
        f"logits differ from the trained net's by {difference:.1e}"
    )
    if difference > 1e-5 * logits.abs().max().item():
        sys.exit("error: the net that was loaded is not the net that was trained")


def main() -> None:
    """Run every step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/demo"), help="where the trained net goes")
    output = parser.parse_args().output
    started = time.perf_counter()
    print(zoo_table(), end="\n\n", flush=True)
    train(output)
    results = json.loads((output / "results.json").read_text())
    check_results(results)
    classify(output, results)
    print(f"demo done in {time.perf_counter() - started:.0f} s; look at {output}/learning_curve.png")


if __name__ == "__main__":
    main()
