"""A pass over a data set before a run of days: every image is decoded, and what is wrong is named.

    python recipes/check_data.py --data path/to/images --workers 8 --output report

Prints counts for each split; with --output, also writes bad_images.csv and data.json there. Ends with code 1 if any
image cannot be decoded. A training run would replace it (in testing: count it as an error); --strict would stop there.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from recipes.data import LabelledImages, Problem, load_splits
from recipes.options import add_data_options, data_source
from recipes.report import write_json, write_problems

_CHUNK = 64


@dataclass
class _Decoded(Dataset[Any]):
    """The smallest side, class and problem of chunks of images."""

    split: LabelledImages

    def __len__(self) -> int:
        return -(-len(self.split) // _CHUNK)

    def __getitem__(self, chunk: int) -> list[tuple[int, int, Problem | None]]:
        indices = range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, len(self.split)))
        return [
            (0 if pixels is None else min(pixels.shape[:2]), label, problem)
            for pixels, label, problem in self.split.read(indices)
        ]


def check(split: LabelledImages, workers: int) -> tuple[dict[str, Any], list[Problem]]:
    """What a split holds, and its images that cannot be decoded."""
    sides, labels, problems = [], Counter[int](), []
    loader: DataLoader[Any] = DataLoader(_Decoded(split), batch_size=None, num_workers=workers)
    with tqdm(total=len(split), unit=" images", desc=split.name) as bar:
        for chunk in loader:
            for side, label, problem in chunk:
                labels[label] += 1
                if problem is None:
                    sides.append(side)
                else:
                    problems.append(problem)
            bar.update(len(chunk))
    counts = [labels[label] for label in range(len(split.class_names))]
    return {
        "images": len(split),
        "cannot_be_decoded": len(problems),
        "classes": len(counts),
        "images_of_a_class": [min(counts), max(counts)],
        "smaller_than_224_pixels": sum(side < 224 for side in sides),
        "smallest_side": [min(sides, default=0), max(sides, default=0)],
    }, problems


def main() -> None:
    """Check both splits, print, and end with a code that a script can test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_options(parser)
    parser.add_argument("--workers", type=int, default=0, help="processes that decode images")
    parser.add_argument("--output", type=Path, help="folder for bad_images.csv and data.json")
    args = parser.parse_args()
    report, problems = {}, []
    try:
        for split in load_splits(data_source(args)):
            report[split.name], found = check(split, args.workers)
            problems += found
    except ValueError as error:
        sys.exit(f"error: {error}")
    for name, counts in report.items():
        print(f"{name}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in counts.items()))
    for problem in problems[:20]:
        print(problem)
    if len(problems) > 20:
        print(f"... and {len(problems) - 20} more")
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=True)
        write_json(args.output / "data.json", report)
        write_problems(args.output / "bad_images.csv", problems)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
