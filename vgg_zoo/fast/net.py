"""`fast_inference`: a copy of a net for inference only, two to four times as fast on a CPU.

The copy has the same parts as the net (features, pre_logits and head), so all code that evaluates a net takes it:
`vgg_zoo.dense`, `vgg_zoo.layers`. docs/speed.md has the method and figures.
"""

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from vgg_zoo.fast import kernels as compiled
from vgg_zoo.fast import winograd
from vgg_zoo.fast.bf16 import check_precision
from vgg_zoo.fast.layers import FastLayer, Step, run_steps
from vgg_zoo.fast.parts import check_can_be_copied, fast_head, fast_hidden_layers, fast_trunk
from vgg_zoo.fast.plan import Plan, planned_layers
from vgg_zoo.fast.state import WeightsState
from vgg_zoo.layers import check_is_vgg
from vgg_zoo.model import VGG, prepare, restore_layout

_COPIED = ("num_classes", "in_chans", "drop_rate", "num_features", "head_hidden_size", "use_norm", "pretrained_cfg")

_NO_GRAPH = (
    "a fast_inference copy cannot be traced, scripted or exported, because its kernels are built for this machine; use "
    "the model that it was made from"
)


def fast_inference(model: nn.Module, *, kernel: str = "auto", precision: str | None = None) -> "FastVGG":
    """A copy of a VGG for inference only, computed in the fastest way on this machine.

    On a CPU in float32, 3 × 3 convolutions run by Winograd's F(4×4, 3×3) (Lavin & Gray 2015), which needs a quarter of
    the multiplications. `vgg_zoo.fast.winograd.choice` decides where this is faster. It is a fixed rule that depends
    only on a layer's channels and its map's size, so an image's scores do not depend on the other images. fc6 over a
    map of 30 windows or more runs by F(2×2, 7×7).

    Batch norm is folded into the weights. Bias, ReLU and max-pool are fused with the convolution, maps are NHWC in
    reused buffers, and FC layers are matrix products. The kernels are C++; this machine's compiler builds them at the
    first use (once, in seconds; see `vgg_zoo.fast.kernels`). Without a compiler, plain PyTorch does the same at about
    half the gain. On a GPU and in other types, every layer is PyTorch's own.

    Outputs differ from the net's by rounding: by about 1e-6 of their norm; the tests allow 1e-4.

    Memory: a copy of net E takes 108 MB. The weights of layers of up to 256 channels are transformed once; those of
    wider layers are only reordered, and transformed in the cache in each call. (Plain PyTorch transforms them once,
    too: 320 MB.) FC weights are shared with the model, so the copy does not follow changes of the model: after a
    change in place, as by an optimizer or `load_state_dict`, it refuses to run, because it would mix old and new
    weights. `copy.deepcopy(model)` first makes it independent. Several threads may use it at once.

    With `precision="bf16"`, FC layers multiply bfloat16; on a CPU with AMX, so do the convolutions except the first.
    Sums, fc8 and all outputs are float32 (`vgg_zoo.fast.bf16`). Weights are rounded once, and the copy does not hold
    the float32 weights of these layers: fc6 and fc7 of net E take 239 MB, and the model's 478 MB are freed with the
    model. Outputs differ from the net's by up to 2% of their norm; docs/speed.md shows the effect.

    Args:
        model: A net of the zoo or timm's own `vgg*`, with or without batch norm, in any mode, which does not change.
        kernel: "compiled", "torch" (plain PyTorch), or "auto": compiled if possible.
        precision: None takes that of the model; "fp32" refuses any other; "bf16" is for float32 models on a CPU with
            AMX or AVX512-BF16.

    Returns:
        The copy, in eval mode. `fast(images)`, `forward_features`, `class_score_map` and `forward_intermediates` work
        as for a net of the zoo, without gradients. `fast.kernel` is the kernel in use, `fast.why_not_compiled` the
        reason if it is not the compiled one, and `fast.plan(height, width)` a table of each layer's arithmetic.

    Raises:
        ValueError: The model is no VGG; the kernel or the precision is unknown; the model or the CPU does not support
            the precision; the model has a layer that these nets do not have (an adapter, a quantised layer), or hooks,
            which a copy would not call.
        RuntimeError: `kernel` is "compiled" and cannot be built; the message says why.
    """
    return FastVGG(model, kernel, precision)


class FastVGG(VGG):
    """The copy that `fast_inference` returns."""

    def __init__(self, model: nn.Module, kernel: str = "auto", precision: str | None = None) -> None:
        nn.Module.__init__(self)
        check_is_vgg(model, classifies=False)
        check_precision(precision, model)
        check_can_be_copied(model)
        self.kernel, self.why_not_compiled = _kernel_of(model, kernel)
        self.bf16 = precision == "bf16"
        net: Any = model
        for name in _COPIED:
            setattr(self, name, getattr(net, name))
        self.feature_info, self.feature_ends = list(net.feature_info), list(net.feature_ends)
        self.grad_checkpointing = False
        self.predicts = getattr(net, "predicts", "classes")  # timm's nets do not have this
        if isinstance(model, VGG):
            self.configuration = model.configuration
        self._state = WeightsState(model)
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            self.features = fast_trunk(net.features, self.kernel, self.bf16)
            self.pre_logits = fast_hidden_layers(net.pre_logits, self.kernel, self.bf16)
            self.head = fast_head(net.head, self.kernel)
        nn.Module.train(self, False)

    def train(self, mode: bool = True) -> "FastVGG":
        """Accept only eval mode.

        Raises:
            RuntimeError: `mode` is true.
        """
        if mode:
            raise RuntimeError("a fast_inference copy is for inference only; train the model that it was made from")
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> "FastVGG":
        """Refuse to move: the transformed weights depend on the device and the type."""
        weight = next(self.parameters())
        moved = fn(weight[:0].detach())
        if (moved.device, moved.dtype) != (weight.device, weight.dtype):
            raise RuntimeError(
                f"a fast_inference copy stays in {weight.dtype} on {weight.device}; move the model that it was made "
                "from, and call fast_inference(model) again"
            )
        return self

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Refuse: a copy keeps its classifier.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            "a fast_inference copy keeps its classifier; change the model, and call fast_inference(model) again"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_state": None}  # a copy of this copy does not share the model's weights

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.bf16:
            check_precision("bf16")
        self._state = WeightsState(self)  # a deep copy or an unpickled copy shares nothing with the model
        self.kernel, self.why_not_compiled = _kernel_of(self, "torch" if self.kernel == "torch" else "auto")
        with torch.autocast("cpu", enabled=False):
            for module in self.modules():  # this machine's kernel may differ from that of the pickle
                if isinstance(module, FastLayer):
                    module.use(self.kernel)

    def is_of(self, model: nn.Module) -> bool:
        """Whether it is a copy of the model in its present state."""
        return self._state.is_of(model)

    def __prepare_scriptable__(self) -> NoReturn:
        """Refuse `torch.jit.script`, which calls this first."""
        raise RuntimeError(_NO_GRAPH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, num_classes), as in the model. `torch.compile` does not change it: it is compiled already.

        Raises:
            RuntimeError: The images require gradients, the model's weights have changed, or the copy would be traced or
                exported.
            ValueError: H or W under 32 pixels.
        """
        dynamo = sys.modules.get("torch._dynamo")
        infer = super().forward if dynamo is None else dynamo.disable(super().forward)
        with torch.no_grad():
            return infer(x)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → the trunk's map (B, 512, ⌊H/32⌋, ⌊W/32⌋); errors as in `forward`."""
        self.check(x)
        images = prepare(x)
        if not images.is_cpu:
            images = images.contiguous(memory_format=torch.channels_last)  # fastest on a GPU, too
        with torch.no_grad():
            return self._given(restore_layout(self.features(images), x))

    @torch.no_grad()
    def class_score_map(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, num_classes, h, w), as `VGG.class_score_map`; errors as in `forward`."""
        return super().class_score_map(images)

    def run_steps(self, steps: Sequence[Step], x: Tensor) -> Tensor:
        """Run some of `vgg_zoo.layers.steps_of(self)`, one after the other."""
        self.check(x)
        with torch.no_grad():
            return self._given(run_steps(steps, x))

    def _taps(self, images: Tensor, count: int) -> list[Tensor]:
        return [self._given(tap) for tap in super()._taps(images, count)]

    def _given(self, maps: Tensor) -> Tensor:
        """Outputs in float32 for a bf16 copy, whose maps may be bfloat16."""
        return maps.float() if self.bf16 else maps

    def check(self, x: Any) -> None:
        """Refuse a call that needs gradients or a graph, or whose model has changed."""
        if torch.jit.is_tracing() or torch.compiler.is_exporting() or isinstance(x, torch.fx.Proxy):
            raise RuntimeError(_NO_GRAPH)
        if x.requires_grad and not torch.is_inference_mode_enabled():
            raise RuntimeError(
                "a fast_inference copy gives no gradients, and the images require them; use the model itself, or "
                "images.detach()"
            )
        if not self._state.is_current():
            raise RuntimeError(
                "the weights of the model have changed since fast_inference(model), which shares some of them; call "
                "it again, or give it copy.deepcopy(model) to keep the weights as they were"
            )

    def plan(self, height: int, width: int, batch: int = 1) -> "Plan":
        """The arithmetic of each layer for images of one size, and the reason; `print` it.

        Args:
            height, width: Size in pixels, at least 32.
            batch: Number of images; it changes only the number of multiplications.
        """
        return Plan(self.kernel, tuple(planned_layers(self, height, width, batch)))


def _kernel_of(model: nn.Module, kernel: str) -> tuple[str, str | None]:
    """The kernel in use, and why it is not the compiled one."""
    if kernel not in winograd.KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; choose from {', '.join(winograd.KERNELS)}")
    weight = next(model.parameters())
    if kernel == "torch":
        return "torch", "kernel='torch' was requested"
    plain = weight.is_cpu and weight.dtype == torch.float32
    reason = compiled.why_not() if plain else f"the model is in {weight.dtype} on {weight.device}, not float32 on a CPU"
    if kernel == "compiled" and reason is not None:
        raise RuntimeError(f"kernel='compiled' is not available: {reason}; kernel='auto' uses plain PyTorch instead")
    return ("torch", reason) if reason else ("compiled", None)
