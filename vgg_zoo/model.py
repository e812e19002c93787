"""The net: a convolutional trunk (Table 1) and three FC layers run as convolutions, giving a class score map.

Shape suffixes: B images, C channels, H × W pixels, h × w cells of a map, k side of the first FC layer's kernel.
"""

from typing import Any, ClassVar

import timm.models
import torch
import torch.nn.functional as F
from timm.layers import ClassifierHead
from timm.models import checkpoint, register_notrace_function
from torch import Tensor, nn

from vgg_zoo.configurations import STRIDE, Configuration, configuration
from vgg_zoo.devices import transformed
from vgg_zoo.initialisation import initialise
from vgg_zoo.normalisation import LocalResponseNormalisation

_NAMES = ("label_names", "label_descriptions")

LEAST_SIDE = 32
"""Minimum side of an image in pixels: one cell of the trunk's map."""


@register_notrace_function
@torch.fx.wrap
def prepare(images: Tensor) -> Tensor:
    """Check the image's size, and on a CPU change its layout to NHWC, in which oneDNN's convolutions are fastest."""
    if images.shape[-2] < 32 or images.shape[-1] < 32:  # TorchScript does not see this module's constants
        raise ValueError(
            f"an image of {images.shape[-2]}×{images.shape[-1]} pixels (H×W) is smaller than one cell of the trunk's "
            "map; the smallest is 32×32, and the paper's nets are trained on 224×224"
        )
    if not torch.jit.is_scripting():  # noqa: SIM102 (TorchScript would compile what follows an `and`)
        if transformed():  # vmap does not support NHWC
            return images
    return images.contiguous(memory_format=torch.channels_last) if images.is_cpu else images


@register_notrace_function
@torch.fx.wrap
def restore_layout(features: Tensor, images: Tensor) -> Tensor:
    """Return features in the memory layout of the caller's images, so that `prepare` has no visible effect."""
    return features.contiguous() if images.is_contiguous() else features


@register_notrace_function
@torch.fx.wrap
def fc_over_map(x: Tensor, weight: Tensor, bias: Tensor | None, most_windows: int = 1024) -> Tensor:
    """An FC layer applied at every position of a map (Sect. 3.2): a valid k × k convolution, as one matrix product.

    PyTorch's CPU convolution spends 0.16 s per call on reordering the 411 MB of the first FC layer. A matrix product
    reads them once, in about 0.02 s. If the map is exactly k × k (a training crop), the only window is the map itself.

    Args:
        x: (B, C, h, w), h and w at least k.
        weight: (out, C, k, k).
        bias: (out,) or None.
        most_windows: With more windows (100 MB at full width), the convolution is used: it is as fast and needs no such
            matrix.

    Returns:
        (B, out, h - k + 1, w - k + 1).
    """
    k_h, k_w = weight.shape[2], weight.shape[3]
    rows, columns = x.shape[2] - k_h + 1, x.shape[3] - k_w + 1
    # An exported or traced graph must work for every size, so it gets the convolution.
    any_size = False
    if not torch.jit.is_scripting():
        any_size = torch.jit.is_tracing() or torch.compiler.is_exporting()
    if any_size or x.shape[0] * rows * columns > most_windows:
        return F.conv2d(x, weight, bias)
    windows, matrix = fc_windows(x, weight)
    y = F.linear(windows, matrix, bias)
    return y.view(x.shape[0], rows, columns, weight.shape[0]).permute(0, 3, 1, 2)


def fc_windows(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The windows of a map (B, C, h, w) that an FC layer sees, and the layer's weight (out, C, k, k) as a matrix.

    Returns:
        (B · rows · columns, C · k · k) and (out, C · k · k).
    """
    k_h, k_w = weight.shape[2], weight.shape[3]
    if x.shape[2] == k_h and x.shape[3] == k_w:  # a training crop: torch.compile optimises simple code best
        if weight.is_contiguous():
            return x.flatten(1), weight.flatten(1)
        return x.permute(0, 2, 3, 1).flatten(1), weight.permute(0, 2, 3, 1).flatten(1)
    windows = x.unfold(2, k_h, 1).unfold(3, k_w, 1).permute(0, 2, 3, 1, 4, 5)  # (B, rows, columns, C, k, k)
    if not weight.is_contiguous():  # an NHWC model: flattening its weight directly would copy it in each call
        windows, weight = windows.permute(0, 1, 2, 4, 5, 3), weight.permute(0, 2, 3, 1)
    matrix = weight.flatten(1)
    return windows.reshape(windows.shape[0] * windows.shape[1] * windows.shape[2], matrix.shape[1]), matrix


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def over_map(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """An FC layer at every position of a map, by `fc_over_map` if the layer is unmodified.

    If the layer is hooked, replaced, quantised, traced or transformed, the module itself runs: a plain convolution, as
    in timm.
    """
    own = type(layer) is nn.Conv2d and "forward" not in layer.__dict__ and not isinstance(x, torch.fx.Proxy)
    if not own or any(getattr(layer, hooks) for hooks in _HOOKS) or transformed():
        return layer(x)
    if not torch.compiler.is_compiling() and nn.modules.module._has_any_global_hook():
        return layer(x)
    return fc_over_map(x, layer.weight, layer.bias)


@register_notrace_function
@torch.fx.wrap
def at_least(x: Tensor, side: int) -> Tensor:
    """Stretch a map that is smaller than the first FC layer's kernel, as in timm for images under 224 pixels."""
    if x.shape[2] < side or x.shape[3] < side:
        return F.adaptive_avg_pool2d(x, (max(side, x.shape[2]), max(side, x.shape[3])))
    return x


class HiddenLayers(nn.Module):
    """FC-4096 → ReLU → dropout → FC-4096 → ReLU over a map: timm's `pre_logits`, with its keys."""

    def __init__(self, channels: int, hidden: int, kernel: int, drop_rate: float, **factory: Any) -> None:
        super().__init__()
        self.input_kernel_size = kernel
        self.fc1 = nn.Conv2d(channels, hidden, kernel, **factory)
        self.act1 = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(drop_rate)
        self.fc2 = nn.Conv2d(hidden, hidden, 1, **factory)
        self.act2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, hidden, max(h, k) - k + 1, max(w, k) - k + 1)."""
        x = at_least(x, self.input_kernel_size)
        if torch.jit.is_scripting():  # TorchScript takes no module as an argument
            x = self.drop(self.act1(fc_over_map(x, self.fc1.weight, self.fc1.bias)))
            return self.act2(fc_over_map(x, self.fc2.weight, self.fc2.bias))
        return self.act2(over_map(self.fc2, self.drop(self.act1(over_map(self.fc1, x)))))


def local_response_normalisation() -> nn.Module:
    """Krizhevsky's LRN with its parameters k=2, n=5, α=1e-4, β=0.75 (Sect. 2.1, net A-LRN).

    The paper's b = a / (k + α Σ a²)^β has no division by n; PyTorch divides α by it, hence 5 · 1e-4.
    """
    return LocalResponseNormalisation(5, alpha=5e-4, beta=0.75, k=2.0)


class AlreadyDense(dict[str, Any]):
    """A net's `default_cfg` that is false in a condition, so that `timm.layers.apply_test_time_pool` skips the net.

    That function would pool the trunk's map and feed 512 channels to a layer that takes 4096. These nets do not need
    it: on a larger image they already average the class score map.
    """

    def __bool__(self) -> bool:
        return False


class VGG(timm.models.VGG):
    """A net of the paper under timm's interface.

    `model(images)` is the spatial mean of the class score map. On a 224-pixel crop this map has one cell, so the same
    call is the training forward pass (Sect. 3.1) and the dense single-scale score before soft-max and flips (Sect.
    3.2).

    Args:
        cfg: A net's name in Table 1 ("A", "A-LRN", "B", "shallow B", "C", "D", "E"), or a `Configuration`.
        num_classes: Outputs of the last FC layer; 0 removes the layer and gives the averaged 4096-D activation (App.
            B).
        in_chans: Channels of the image.
        global_pool: How the map is pooled before the last layer; "avg" is the paper's.
        drop_rate: Dropout after the first two FC layers (Sect. 3.1: 0.5).
        width_multiplier: Factor on every convolution's channels, above 0; 1 is the paper's net.
        head_hidden_size: Channels of the first two FC layers.
        head_kernel_size: Side of the first FC layer's kernel in cells of 32 pixels, at least 1; the smallest crop that
            is not stretched has `32 * head_kernel_size` pixels. 7 is the paper's net, 1 fits 32-pixel images.
        initialisation: "glorot" or "normal", see `vgg_zoo.initialise`.
        std: σ of "normal".
        output_stride: Must be 32; it exists because timm's feature extractors pass it.
        device: Device of the weights; "meta" allocates nothing.
        dtype: Type of the weights.

    Raises:
        ValueError: An argument has none of the values above; the message names them.
    """

    predicts = "classes"
    # TorchScript would compile properties; this one is for Python only.
    __jit_unused_properties__: ClassVar[list[str]] = ["default_cfg"]

    def __init__(
        self,
        cfg: str | Configuration,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.5,
        width_multiplier: float = 1.0,
        head_hidden_size: int = 4096,
        head_kernel_size: int = 7,
        initialisation: str = "glorot",
        std: float = 0.01,
        output_stride: int = 32,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        # timm's constructor has no 1×1 and 5×5 convs, no LRN and no other head, so we inherit only its methods.
        nn.Module.__init__(self)
        _check_arguments(
            output_stride=output_stride,
            in_chans=in_chans,
            num_classes=num_classes,
            width_multiplier=width_multiplier,
            head_hidden_size=head_hidden_size,
            head_kernel_size=head_kernel_size,
        )
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.configuration = cfg if isinstance(cfg, Configuration) else configuration(cfg)
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        self.use_norm = False
        self._build_trunk(width_multiplier, factory)
        self.pre_logits = HiddenLayers(  # type: ignore[assignment]  # timm's class has its own ConvMlp here
            self.num_features, head_hidden_size, head_kernel_size, drop_rate, **factory
        )
        self.head = ClassifierHead(head_hidden_size, num_classes, pool_type=global_pool, drop_rate=drop_rate, **factory)
        self.head_hidden_size = self.head.num_features
        initialise(self, initialisation, std)

    def _build_trunk(self, width_multiplier: float, factory: dict[str, Any]) -> None:
        """Set `features`, `num_features`, and timm's six taps: each stage before its pool, and the last pool."""
        self.feature_info: list[dict[str, Any]] = []
        self.feature_ends: list[int] = []
        layers: list[nn.Module] = []
        channels, reduction = self.in_chans, 1

        def tap() -> None:
            index = len(layers) - 1
            self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": f"features.{index}"})
            self.feature_ends.append(index)

        for layer in self.configuration.layers():
            if layer.kind == "maxpool":
                tap()
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
                reduction *= 2
            elif layer.kind == "LRN":  # shares the ReLU's index, so A-LRN has the keys of A
                layers[-1] = nn.Sequential(layers[-1], local_response_normalisation())
            else:
                width = max(1, round(layer.channels * width_multiplier))
                conv = nn.Conv2d(channels, width, layer.kernel, padding=layer.kernel // 2, **factory)
                layers += [conv, nn.ReLU(inplace=True)]
                channels = width
        tap()
        self.features = nn.Sequential(*layers)
        self.num_features = channels

    @property
    def default_cfg(self) -> AlreadyDense:
        """timm's older name of `pretrained_cfg`."""
        return AlreadyDense(self.pretrained_cfg)

    @default_cfg.setter
    def default_cfg(self, value: dict[str, Any]) -> None:
        self.pretrained_cfg = value

    @torch.jit.ignore
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a random one, or remove it (0), and drop its class names (timm's interface)."""
        super().reset_classifier(num_classes, global_pool)
        self.pretrained_cfg = {key: value for key, value in self.pretrained_cfg.items() if key not in _NAMES}

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the trunk's activations, stage by stage, in the backward pass instead of keeping them."""
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def _taps(self, images: Tensor, count: int) -> list[Tensor]:
        """The first `count` of the six taps, fewer if the trunk was pruned; each runs from the tap before it."""
        x, start = prepare(images), 0
        taps: list[Tensor] = []
        for end in self.feature_ends[:count]:
            if start >= len(self.features):
                break
            segment = self.features[start : end + 1]
            x = checkpoint(segment, x) if self.grad_checkpointing else segment(x)
            taps.append(restore_layout(x, images))
            start = end + 1
        return taps

    @torch.jit.ignore
    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The trunk's features at chosen taps (timm's interface).

        Args:
            x: (B, 3, H, W).
            indices: Taps 0–4 are the stages before their max-pools, 5 is pool5; an int n takes the last n, None all.
            norm: Has no effect, because there is no final norm.
            stop_early: Do not run the layers after the last of these taps.
            output_fmt: Must be "NCHW".
            intermediates_only: Return only the list of taps.

        Returns:
            The trunk's output and the list of taps, or only the list.
        """
        if output_fmt != "NCHW":
            raise ValueError(f'output_fmt must be "NCHW"; got {output_fmt!r}')
        take = _chosen_taps(indices, len(self.feature_ends))
        taps = self._taps(x, max(take) + 1 if stop_early else len(self.feature_ends))
        intermediates = [taps[i] for i in take]
        if intermediates_only:
            return intermediates
        return taps[-1], intermediates

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → the trunk's map (B, 512, ⌊H/32⌋, ⌊W/32⌋).

        Raises:
            ValueError: H or W under 32 pixels.
        """
        if self.grad_checkpointing and not torch.jit.is_scripting():
            return self._taps(x, len(self.feature_ends))[-1]
        return restore_layout(self.features(prepare(x)), x)

    @torch.jit.ignore
    def class_score_map(self, images: Tensor) -> Tensor:
        """The net applied densely (Sect. 3.2): one vector of class scores (logits) for each position of the image.

        Args:
            images: (B, 3, H, W), RGB minus the training mean.

        Returns:
            (B, num_classes, h, w) with h = ⌊H/32⌋ − 6 for the paper's nets (at least 1), and the same for w. Its
            spatial mean is `self(images)`.
        """
        x = self.head.drop(self.pre_logits(self.forward_features(images)))
        return self.head.fc(x.movedim(1, -1)).movedim(-1, 1)


def outputs_of(net: Any) -> int:
    """Number of outputs of the net's last layer, even if `num_classes` differs; 0 without a last layer."""
    fc = getattr(net.head, "fc", None)
    found = (
        [module.out_features for module in fc.modules() if hasattr(module, "out_features")] if fc is not None else []
    )
    return int(found[-1]) if found else 0


def own_class_names(net: Any) -> list[str]:
    """The class names in the net's pretrained_cfg; none if they belong to another last layer."""
    names = net.pretrained_cfg.get("label_names") or ()
    count = outputs_of(net) if getattr(net, "predicts", "classes") == "classes" else net.num_classes
    return list(names) if len(names) == count else []


def input_channels(net: Any) -> int:
    """Channels of the images that the net takes."""
    return next(int(module.in_channels) for module in net.features.modules() if isinstance(module, nn.Conv2d))


def check_channels(net: Any) -> None:
    """Refuse a net that does not take photos.

    Raises:
        ValueError: It takes images with neither 1 nor 3 channels.
    """
    if input_channels(net) not in (1, 3):
        raise ValueError(
            f"the net takes images of {input_channels(net)} channels; vgg_zoo takes colour images (3) or grey ones (1)"
        )


def _chosen_taps(indices: int | list[int] | None, count: int) -> list[int]:
    """Taps chosen as in timm: None takes all, an int n the last n, and a sequence may count from the end."""
    if indices is None:
        return list(range(count))
    chosen = list(range(count - indices, count)) if isinstance(indices, int) else [i + count * (i < 0) for i in indices]
    if not chosen or not all(0 <= i < count for i in chosen):
        raise ValueError(f"indices choose among taps 0 to {count - 1}; got {indices!r}")
    return chosen


def _check_arguments(output_stride: int, width_multiplier: float, **at_least_one: int) -> None:
    if output_stride != STRIDE:
        raise ValueError(f"output_stride must be {STRIDE}, that of the five max-pools of Table 1; got {output_stride}")
    if not width_multiplier > 0:
        raise ValueError(f"width_multiplier must be above 0 (1 is the paper's net); got {width_multiplier}")
    for name, value in at_least_one.items():
        least = 0 if name == "num_classes" else 1
        if value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}")
