"""Evaluation (Sect. 3.2 and 4): dense, multi-scale, multi-crop, and fusion, by averaging posteriors."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from timm.data import ImageNetInfo
from torch import Tensor

from vgg_zoo.classifier import Classifier
from vgg_zoo.dense import DenseNet, even_parts, score_maps
from vgg_zoo.images.inputs import Input, Rescaled, as_scales, decoded, of_scales
from vgg_zoo.images.preprocessing import rescale
from vgg_zoo.layers import check_is_vgg, smallest_side
from vgg_zoo.model import outputs_of, own_class_names
from vgg_zoo.pretrained import described, net_of
from vgg_zoo.weights.files import whole
from vgg_zoo.weights.folder import save_folder
from vgg_zoo.weights.settings import SETTINGS_FILE, Net, read_settings, settled

GRID = 5
"""Crops per side in multi-crop evaluation; 5 × 5 × 2 flips are the paper's 50 per scale."""


class DenseEvaluator(DenseNet, Classifier):
    """The paper's evaluation of a net as a function from images to class posteriors (Sect. 3.2).

    Every image is rescaled isotropically to each test scale Q. "dense" applies the net to the whole of it, averages the
    class score map over positions, and takes the soft-max; "multi_crop" takes the soft-max of each of 5 × 5 crops on a
    regular grid; "multi_crop_and_dense" averages the two. Posteriors are averaged over flips and scales.

    Args:
        model: A net of the zoo or timm's own `vgg*`; a name that timm loads with its weights, such as "vgg_d.tv_in1k"
            or "hf-hub:org/name"; or a folder, such as "runs/d".
        scales: Q, one or several smallest sides in pixels; at least the net's smallest input, 224 for the paper's nets.
        flip: Average with the mirrored image.
        protocol: "dense", "multi_crop" or "multi_crop_and_dense".
        softmax_first: For dense evaluation: take the soft-max at every position, then the mean. The paper's words allow
            both. The default averages class scores before the soft-max.
        ceil_mode: Max-pools round their size up, as in Caffe, which Oxford used.
        most_pixels: Pixels that go through the net at once. Smaller images are batched up to it; the trunk runs over a
            larger image in tiles of this many pixels. None: 2²⁰ on a CPU; on a GPU up to 2²⁴, depending on its
            memory (`vgg_zoo.devices.default_most_pixels`).
        device: The device that the net moves to, such as "cuda:1". "auto": a net given by name or folder goes to the
            GPU if CUDA has one, and a module stays where it is. None: the net stays; a net that is loaded here is on
            the CPU.
        exact: Use the net itself. Otherwise, in float32 on a CPU, the copy by `fast_inference` is used: it is several
            times as fast, equal up to rounding, and made again when the weights have changed.
        precision: "bf16", on a CPU with AMX or AVX512-BF16: use a copy whose FC layers (with AMX, also its
            convolutions) multiply bfloat16; scores differ by up to 2% (docs/speed.md). "fp32": float32 even under
            autocast. None: the precision of the net and autocast.

    Settings that are not given are the net's own: those stored beside its weights or, in the folder of a training,
    those that follow from the training (`vgg_zoo.weights.settings.usual_settings`). A net without settings gets the
    paper's: scales 256, 384, 512 with flips, dense. `repr` and `settings_from` name the source. The net's mode and
    buffers do not change.

    Raises:
        ValueError: The net is no VGG or has no weights; the protocol is unknown; scales are missing or below the net's
            smallest input; or the net or the CPU does not support the precision.
        OSError: The weights cannot be downloaded.
    """

    def __init__(
        self,
        model: Net,
        scales: Sequence[int] | int | None = None,
        flip: bool | None = None,
        protocol: str | None = None,
        *,
        softmax_first: bool | None = None,
        ceil_mode: bool | None = None,
        most_pixels: int | None = None,
        device: torch.device | str | None = "auto",
        exact: bool = False,
        precision: str | None = None,
    ) -> None:
        net = net_of(model, device)
        check_is_vgg(net)
        given = {"scales": scales, "flip": flip, "protocol": protocol}
        given |= {"softmax_first": softmax_first, "ceil_mode": ceil_mode}
        chosen, settings_from = settled(given, model)
        if chosen["protocol"] not in PROTOCOLS:
            raise ValueError(f"unknown protocol {chosen['protocol']!r}; choose from {', '.join(PROTOCOLS)}")
        self.side = smallest_side(net)
        what = ", the net's crop"
        super().__init__(net, described(model), chosen, settings_from, self.side, what, most_pixels, exact, precision)
        self.protocol, self.softmax_first = str(chosen["protocol"]), bool(chosen["softmax_first"])

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the net, as plain data."""
        return {
            "scales": list(self.scales),
            "flip": self.flip,
            "protocol": self.protocol,
            "softmax_first": self.softmax_first,
            "ceil_mode": self.ceil_mode,
        }

    @property
    def class_names(self) -> list[str]:
        """Names in the order of the posteriors: the net's own, ImageNet's for 1000 classes, or numbers."""
        return class_names_of(self.model)

    @torch.inference_mode()
    def of_rescaled(self, images: Sequence[Sequence[Tensor] | None]) -> Tensor:
        """Posteriors of images that `at_scales` has already rescaled, for example in other processes.

        Args:
            images: For each image, a (3, H, W) tensor of uint8 for each scale, in order; None gives a row of NaN.

        Returns:
            (N, num_classes), float32, on the CPU.
        """
        total = torch.zeros(len(images), outputs_of(self.model), dtype=torch.float64)
        found = [(places, self._scale_posteriors(batch)) for _, batch, places in self.batches(images)]
        if found:
            order = torch.tensor([place for places, _ in found for place in places])
            total.index_add_(0, order, torch.cat([rows for _, rows in found]).cpu().double())
        total[[place for place, image in enumerate(images) if image is None]] = torch.nan
        return (total / len(self.scales)).float()

    @torch.inference_mode()
    def class_score_map(self, image: Input, scale: int) -> Tensor:
        """The class score map of the rescaled image, not flipped.

        Returns:
            (num_classes, h, w), float32, on the CPU; h = ⌊H/32⌋ − 6 for the paper's nets.
        """
        return self.maps(rescale(decoded(image), scale)[None])[0].float().cpu()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the net as a folder for timm, with these settings beside it."""
        cfg = self.model.pretrained_cfg
        save_folder(
            self.model,
            Path(folder),
            tag=cfg.get("tag") or "dense",
            licence=cfg.get("license"),
            mean=[value * 255 for value in cfg["mean"]],
            deviation=[value * 255 for value in cfg["std"]],
            input_size=cfg["input_size"],
            crop_pct=cfg["crop_pct"],
            class_names=own_class_names(self.model) or None,
            description=cfg.get("description"),
        )
        with whole(Path(folder) / SETTINGS_FILE) as writing:
            writing.write_text(json.dumps(self.settings, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, source: str | Path, revision: str | None = None) -> "DenseEvaluator":
        """The evaluator that `save_pretrained` wrote.

        Args:
            source: A folder, or the id of a repository on the Hub.
            revision: A commit, tag or branch of the repository.

        Raises:
            ValueError: Settings are missing, unknown or wrong.
        """
        if Path(source).is_dir():
            file, name = Path(source) / SETTINGS_FILE, f"local-dir:{source}"
            if not file.is_file():
                raise ValueError(f"{source} has no {SETTINGS_FILE}; `DenseEvaluator.save_pretrained` writes it")
        else:
            file = Path(hf_hub_download(str(source), SETTINGS_FILE, revision=revision))
            name = f"hf-hub:{source}" + (f"@{revision}" if revision else "")
        return cls(name, **read_settings(file))

    def _scale_posteriors(self, pixels: Tensor) -> Tensor:
        """(B, num_classes) posteriors of images of one shape at one scale."""
        return torch.stack([self.both_ways(partial(part, self), pixels) for part in PROTOCOLS[self.protocol]]).mean(0)

    def maps(self, pixels: Tensor) -> Tensor:
        """Class scores at every position: (B, num_classes, h, w) from (B, 3, H, W) of uint8, at their scale."""
        return score_maps(self.model, pixels, self.ceil_mode, self.most_pixels, self.exact, self.precision)


def class_names_of(net: Any) -> list[str]:
    """Class names of a net's outputs, in order: its own, ImageNet's for 1000 classes, or numbers."""
    count = outputs_of(net)
    if names := own_class_names(net):
        return names
    if count != 1000:
        return [str(number) for number in range(count)]
    info = ImageNetInfo()
    return [info.index_to_description(index) for index in range(count)]


def dense(evaluator: DenseEvaluator, pixels: Tensor) -> Tensor:
    """(B, num_classes) posteriors of whole images, (B, 3, H, W) of uint8: the net is applied densely (Sect. 3.2)."""
    scores = evaluator.maps(pixels)
    return scores.softmax(1).mean((2, 3)) if evaluator.softmax_first else scores.mean((2, 3)).softmax(1)


def multi_crop(evaluator: DenseEvaluator, pixels: Tensor) -> Tensor:
    """(B, num_classes): the mean over crops on a grid, borders included, each image's crops in bounded batches."""
    side = evaluator.side
    crops = [
        pixels[:, :, y : y + side, x : x + side]
        for y in grid(pixels.shape[2], side)
        for x in grid(pixels.shape[3], side)
    ]
    parts = even_parts(torch.cat(crops), evaluator.most_pixels)
    scores = torch.cat([evaluator.maps(part).mean((2, 3)).softmax(1) for part in parts])
    return scores.view(len(crops), len(pixels), -1).mean(0)


def grid(length: int, side: int) -> list[int]:
    """Where `GRID` crops begin: evenly spaced, from the image's beginning to its end."""
    return [round(place * (length - side) / (GRID - 1)) for place in range(GRID)]


PROTOCOLS: dict[str, tuple[Callable[[DenseEvaluator, Tensor], Tensor], ...]] = {
    "dense": (dense,),
    "multi_crop": (multi_crop,),
    "multi_crop_and_dense": (dense, multi_crop),
}
"""The functions of each protocol, from images of one shape to posteriors; the protocol averages them."""


class Fusion(Classifier):
    """Several nets as one: the mean of their posteriors (Sect. 4.4), each net with its own scales and protocol.

    Args:
        evaluators: One or more evaluators; or nets, folders or names, as in `DenseEvaluator`. All must have the same
            classes.
        scales: Q of the nets that are no evaluators, as in `DenseEvaluator`.
        device: As in `DenseEvaluator`.

    Raises:
        ValueError: There is no evaluator, the classes differ, or `DenseEvaluator` refuses a net.
        OSError: Weights cannot be downloaded.
    """

    def __init__(
        self,
        evaluators: DenseEvaluator | Net | Sequence[DenseEvaluator | Net],
        scales: Sequence[int] | int | None = None,
        *,
        device: torch.device | str | None = "auto",
    ) -> None:
        given: list[Any] = list(evaluators) if isinstance(evaluators, list | tuple) else [evaluators]
        made = [each for each in given if isinstance(each, DenseEvaluator)]
        if made and scales is not None:
            raise ValueError(f"the evaluators have their own scales, {made[0].scales}; give nets instead, or no scales")
        self.evaluators = [
            each if isinstance(each, DenseEvaluator) else DenseEvaluator(each, scales, device=device) for each in given
        ]
        classes = {outputs_of(evaluator.model) for evaluator in self.evaluators}
        if len(classes) != 1:
            raise ValueError(f"a fusion takes evaluators of the same classes; got {len(given)}, of {sorted(classes)}")
        self.scales = as_scales(sorted({scale for evaluator in self.evaluators for scale in evaluator.scales}))

    @property
    def device(self) -> torch.device:
        """The device of the first net."""
        return self.evaluators[0].device

    @property
    def class_names(self) -> list[str]:
        """The classes of the first net."""
        return self.evaluators[0].class_names

    def of_rescaled(self, images: Sequence[Rescaled | None]) -> Tensor:
        """(N, num_classes) posteriors of images rescaled to `scales`; None gives a row of NaN."""
        return fuse([each.of_rescaled(of_scales(images, self.scales, each.scales)) for each in self.evaluators])

    def __repr__(self) -> str:
        lines = "".join(f"\n    {evaluator!r}," for evaluator in self.evaluators)
        return f"Fusion({lines}\n)"


def fuse(scores: Sequence[Tensor]) -> Tensor:
    """The mean of several nets' posteriors of the same images, (N, num_classes) each (Sect. 4.4).

    Raises:
        ValueError: There are none, or their shapes differ.
    """
    if len({tuple(score.shape) for score in scores}) != 1:
        raise ValueError(f"posteriors of different shapes cannot be fused: {[tuple(score.shape) for score in scores]}")
    total = scores[0].double()
    for score in scores[1:]:
        total = total + score.double()
    return (total / len(scores)).float()
