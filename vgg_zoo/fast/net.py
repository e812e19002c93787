"""`fast_inference`: a copy of a net that only infers, on a CPU two to four times as fast.

The copy has the parts of the net that it is made of, features, pre_logits and head, so that whatever evaluates a net
evaluates it: `vgg_zoo.dense`, `vgg_zoo.layers`. docs/speed.md has the method and figures.
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
    "a fast_inference copy cannot be traced, scripted or exported, as its kernels are this machine's; do so with the "
    "model that it was made of"
)


def fast_inference(model: nn.Module, *, kernel: str = "auto", precision: str | None = None) -> "FastVGG":
    """A copy of a VGG that only infers, in the fastest way that this machine has.

    On a CPU in float32 the 3 × 3 convolutions run by Winograd's F(4×4, 3×3) (Lavin & Gray 2015), which takes a quarter
    of the multiplications, wherever `vgg_zoo.fast.winograd.choice` has it that this is faster: a rule from measurements
    that looks at a layer's channels and its map's size alone, so that an image's scores do not depend on those beside
    it.
    Batch norm is folded into the weights, bias, ReLU and max-pool run with the convolution, maps are NHWC and live in
    reused buffers, and FC layers are matrix products. The kernels are C++, built by this machine's compiler at the
    first use (seconds, once; see `vgg_zoo.fast.kernels`); without a compiler plain PyTorch does the same at about half
    the gain. On a GPU and in other types every layer is PyTorch's own.

    Outputs differ from the net's by rounding: some 1e-6 of their norm, and the tests allow 1e-4.

    Memory: U, the transformed weights, are four times the trunk's (net E: 320 MB); FC weights are shared with the
    model. So the copy does not follow changes of the model: after one in place, as by an optimizer or
    `load_state_dict`, it refuses to run, as half of it would be new. `copy.deepcopy(model)` first makes it independent.
    It may be used by several threads at once.

    With `precision="bf16"` FC layers multiply bfloat16, and on a CPU with AMX the convolutions, too, but for the first
    one; sums, fc8 and every output are float32 (`vgg_zoo.fast.bf16`). Weights are rounded once, and the float32 ones of
    those layers are not kept: fc6 and fc7 of net E are 239 MB, and nothing holds the model's 478 MB if nobody else
    does. Outputs differ from the net's by up to 2% of their norm; docs/speed.md has what that changes.

    Args:
        model: A net of the zoo or timm's own `vgg*`, with batch norm or without, in any mode, which stays.
        kernel: "compiled", "torch" (plain PyTorch), or "auto": compiled if it can be.
        precision: None is that of the model; "fp32" refuses any other; "bf16" is for float32 models on a CPU with AMX
            or AVX512-BF16.

    Returns:
        The copy, in eval mode. `fast(images)`, `forward_features`, `class_score_map`, `forward_intermediates` are as
        those of a net of the zoo, without gradients. `fast.kernel` is the kernel in use, `fast.why_not_compiled` why it
        is not the compiled one, `fast.plan(height, width)` a table of each layer's arithmetic.

    Raises:
        ValueError: No VGG, an unknown kernel or precision, a precision that the model or the CPU does not have, a layer
            that is not of these nets (an adapter's, a quantised one), or hooks, which a copy would not call.
        RuntimeError: "compiled" was asked for and cannot be built; the message says why.
    """
    return FastVGG(model, kernel, precision)


class FastVGG(VGG):
    """What `fast_inference` makes of a model."""

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
        self.predicts = getattr(net, "predicts", "classes")  # a net of timm's says nothing
        if isinstance(model, VGG):
            self.configuration = model.configuration
        self._state = WeightsState(model)
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            self.features = fast_trunk(net.features, self.kernel, self.bf16)
            self.pre_logits = fast_hidden_layers(net.pre_logits, self.kernel, self.bf16)
            self.head = fast_head(net.head, self.kernel)
        nn.Module.train(self, False)

    def train(self, mode: bool = True) -> "FastVGG":
        """Only eval mode.

        Raises:
            RuntimeError: Training was asked for.
        """
        if mode:
            raise RuntimeError("a fast_inference copy only infers; train the model that it was made of")
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> "FastVGG":
        """Stay where it was made: the transformed weights are of that device and type."""
        weight = next(self.parameters())
        moved = fn(weight[:0].detach())
        if (moved.device, moved.dtype) != (weight.device, weight.dtype):
            raise RuntimeError(
                f"a fast_inference copy stays in {weight.dtype} on {weight.device}; move the model that it was made "
                "of, and call fast_inference(model) again"
            )
        return self

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Not for a copy.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            "a fast_inference copy keeps its classifier; change the model, and call fast_inference(model) again"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_state": None}  # of the model's weights, which a copy of this copy has no part in

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.bf16:
            check_precision("bf16")
        self._state = WeightsState(self)  # a deep copy, or one from a pickle, shares nothing with the model
        self.kernel, self.why_not_compiled = _kernel_of(self, "torch" if self.kernel == "torch" else "auto")
        with torch.autocast("cpu", enabled=False):
            for module in self.modules():  # this machine's kernel may be another than that of the pickle
                if isinstance(module, FastLayer):
                    module.use(self.kernel)

    def is_of(self, model: nn.Module) -> bool:
        """Whether it is a copy of the model as that is now."""
        return self._state.is_of(model)

    def __prepare_scriptable__(self) -> NoReturn:
        """What `torch.jit.script` asks for first."""
        raise RuntimeError(_NO_GRAPH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, num_classes), as the model's. `torch.compile` leaves it as it is: compiled already.

        Raises:
            RuntimeError: The images require gradients, the model's weights have changed, or it is to be traced or
                exported.
            ValueError: H or W under 32 pixels.
        """
        dynamo = sys.modules.get("torch._dynamo")
        infer = super().forward if dynamo is None else dynamo.disable(super().forward)
        with torch.no_grad():
            return infer(x)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → the trunk's map (B, 512, ⌊H/32⌋, ⌊W/32⌋); errors as of `forward`."""
        self.check(x)
        images = prepare(x)
        if not images.is_cpu:
            images = images.contiguous(memory_format=torch.channels_last)  # fastest on a GPU, too
        with torch.no_grad():
            return self._given(restore_layout(self.features(images), x))

    @torch.no_grad()
    def class_score_map(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, num_classes, h, w), as `VGG.class_score_map`; errors as of `forward`."""
        return super().class_score_map(images)

    def run_steps(self, steps: Sequence[Step], x: Tensor) -> Tensor:
        """Some of `vgg_zoo.layers.steps_of(self)`, one after the other."""
        self.check(x)
        with torch.no_grad():
            return self._given(run_steps(steps, x))

    def _taps(self, images: Tensor, count: int) -> list[Tensor]:
        return [self._given(tap) for tap in super()._taps(images, count)]

    def _given(self, maps: Tensor) -> Tensor:
        """What is handed out: float32 of a bf16 copy, whose maps may be bfloat16."""
        return maps.float() if self.bf16 else maps

    def check(self, x: Any) -> None:
        """Refuse what would give no gradients, no graph, or scores of no model."""
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
        """Which arithmetic each layer has for images of a size, and why; `print` it.

        Args:
            height, width: In pixels, at least 32.
            batch: Images; it changes nothing but the number of multiplications.
        """
        return Plan(self.kernel, tuple(planned_layers(self, height, width, batch)))


def _kernel_of(model: nn.Module, kernel: str) -> tuple[str, str | None]:
    """The kernel in use, and why it is not the compiled one."""
    if kernel not in winograd.KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; choose from {', '.join(winograd.KERNELS)}")
    weight = next(model.parameters())
    if kernel == "torch":
        return "torch", "kernel='torch' was asked for"
    plain = weight.is_cpu and weight.dtype == torch.float32
    reason = compiled.why_not() if plain else f"the model is in {weight.dtype} on {weight.device}, not float32 on a CPU"
    if kernel == "compiled" and reason is not None:
        raise RuntimeError(f"kernel='compiled' cannot be had: {reason}; kernel='auto' takes plain PyTorch then")
    return ("torch", reason) if reason else ("compiled", None)
