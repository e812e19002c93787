"""The training pipeline, from a JPEG's bytes to a batch of crops, beside torchvision's reference one.

    python -m benchmarks.input_pipeline [--images 200] [--rounds 7] [--output benchmarks/results/input_pipeline]

The images are made here: scikit-learn's two photos in random parts, of ImageNet's usual size and JPEG quality. Both
pipelines take the same random crops; the table gives images a second, their ratio, and the largest difference of a
pixel from resizing first and cropping then. The one-core rows do one image after another; the next row runs a loader
with two workers and S in [256; 512]. The reference ends with normalised floats as torchvision's training scripts do;
ours ends with 8-bit pixels, as mean and colour shift are added to the whole batch on its device. The last row is what
that takes where the device is the CPU.
"""

import io
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torchvision.transforms import functional as reference

from benchmarks.timing import benchmark_parser, machine, medians, save
from recipes.data.images import LabelledImages
from recipes.recipe import Recipe
from recipes.training.batches import GlobalBatches, TrainingCrops, training_images
from recipes.training.feed import Feed
from vgg_zoo.images.decoding import read_pixels
from vgg_zoo.images.preprocessing import IMAGENET_COLOURS, crop_rescaled

SIDE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photos(count: int) -> list[bytes]:
    """JPEGs of about 500 × 375 pixels, quality 96."""
    generator = np.random.default_rng(0)
    sources = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    files = []
    for place in range(count):
        width, height = (int(side * generator.uniform(0.9, 1.1)) for side in (500, 375))
        source = sources[place % 2]
        x, y = generator.uniform(0, source.width - 400), generator.uniform(0, source.height - 300)
        file = io.BytesIO()
        part = source.resize((width, height), Image.Resampling.BICUBIC, box=(x, y, x + 400, y + 300))
        part.save(file, "JPEG", quality=96)
        files.append(file.getvalue())
    return files


def resize_then_crop(file: bytes, scale: int, left: float, top: float, mirrored: bool) -> Image.Image:
    """The reference's way to a crop, at a given place."""
    with Image.open(io.BytesIO(file)) as image:
        resized = reference.resize(image.convert("RGB"), scale)
    x, y = round((resized.width - SIDE) * left), round((resized.height - SIDE) * top)
    crop = reference.crop(resized, y, x, SIDE, SIDE)
    return reference.hflip(crop) if mirrored else crop


def of_torchvision(file: bytes, scale: int, left: float, top: float, mirrored: bool) -> Tensor:
    """Decode → Resize → crop → flip → ToTensor → Normalize, as in its training scripts."""
    crop = resize_then_crop(file, scale, left, top, mirrored)
    return reference.normalize(reference.to_tensor(crop), MEAN, DEVIATION)


def of_ours(file: bytes, scale: int, left: float, top: float, mirrored: bool) -> Tensor:
    """Decode → crop of the rescaled image, 8-bit."""
    return crop_rescaled(read_pixels(file), scale, SIDE, left, top, mirrored)


def one_core(files: Sequence[bytes], scale: int, rounds: int) -> dict[str, str]:
    """A row of the table."""
    generator = np.random.default_rng(scale)
    crops = [(file, scale, *generator.random(2).tolist(), bool(generator.random() < 0.5)) for file in files]

    def run(pipeline: Callable[..., Tensor]) -> Callable[[], object]:
        return lambda: [pipeline(*crop) for crop in crops]

    seconds = medians({"torchvision": run(of_torchvision), "ours": run(of_ours)}, rounds)
    worst = max(
        int((of_ours(*crop).int() - reference.pil_to_tensor(resize_then_crop(*crop))).abs().max())
        for crop in crops[:50]
    )
    return row(f"one core, S={scale}", seconds, len(files), str(worst))


def row(what: str, seconds: dict[str, float], images: int, worst: str = "–") -> dict[str, str]:
    """A line of the table."""
    return {
        "pipeline": what,
        "torchvision (images/s)": f"{images / seconds['torchvision']:.0f}" if "torchvision" in seconds else "–",
        "ours (images/s)": f"{images / seconds['ours']:.0f}",
        "ours ÷ torchvision": f"{seconds['torchvision'] / seconds['ours']:.2f}" if "torchvision" in seconds else "–",
        "largest difference": worst,
    }


def reference_batch(files: Sequence[bytes]) -> Any:
    """A batch of torchvision's pipeline, with the paper's random crop."""
    samples = []
    for file in files:
        scale = int(torch.randint(256, 513, ()))
        left, top, mirror = torch.rand(3).tolist()
        samples.append((of_torchvision(file, scale, left, top, mirror < 0.5), 0))
    return default_collate(samples)


def with_workers(files: Sequence[bytes], workers: int, rounds: int) -> list[dict[str, str]]:
    """Loaders that have started already, S in [256; 512]."""
    recipe = Recipe(model="vgg_d", train_scales=(256, 512), test_scale=384, batch_size=50)
    features = datasets.Features(image=datasets.Image(decode=False), label=datasets.ClassLabel(names=["photo"]))
    columns = {"image": [{"bytes": file, "path": None} for file in files], "label": [0] * len(files)}
    split = LabelledImages("training", datasets.Dataset.from_dict(columns, features=features), ("photo",))
    batches = GlobalBatches(len(files), 50, 0, 0, 1)
    ours = Feed(TrainingCrops(split, recipe), batches, workers, torch.device("cpu"))
    data_set: Any = files  # as any sequence is
    theirs: DataLoader[Any] = DataLoader(
        data_set, 50, shuffle=True, num_workers=workers, collate_fn=reference_batch, persistent_workers=True
    )
    through = partial(deque[Any], maxlen=0)  # reads, and keeps nothing
    seconds = medians({"torchvision": partial(through, theirs), "ours": partial(through, ours)}, rounds)
    batch = next(iter(ours))
    rest = medians({"ours": lambda: training_images(batch, recipe, IMAGENET_COLOURS, torch.float32)}, rounds)
    return [
        row(f"{workers} workers, S in [256; 512]", seconds, len(files)),
        row("mean and colour shift of a batch", rest, len(batch.labels)),
    ]


def main() -> None:
    """Measure, print and save the table."""
    parser = benchmark_parser(__doc__, "input_pipeline", 7)
    parser.add_argument("--images", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    files = photos(args.images)
    size = statistics.mean(map(len, files)) / 1000
    lines = [one_core(files, scale, args.rounds) for scale in (256, 384, 512)]
    lines += with_workers(files, 2, args.rounds)
    note = f"{args.images} JPEGs of {size:.0f} kB on average, medians of {args.rounds}, on: {machine()}."
    save(args.output, lines, note)


if __name__ == "__main__":
    main()
