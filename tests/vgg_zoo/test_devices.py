"""What a GPU is given and asked for, on the device "meta", which computes shapes alone and can be watched."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.helpers import small
from vgg_zoo import devices
from vgg_zoo.dense import DenseNet, dense_input
from vgg_zoo.descriptors import DenseDescriptor
from vgg_zoo.devices import (
    arithmetic_of,
    arithmetic_on,
    bf16_of_cpu,
    constant_like,
    default_most_pixels,
    stacked_on,
    tf32_allowed,
    widest,
)
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.fast.copies import arithmetic
from vgg_zoo.images.inputs import net_input
from vgg_zoo.localisation import Localiser

CPU, META, CUDA, MPS = (torch.device(name) for name in ("cpu", "meta", "cuda", "mps"))
SCALES = (64, 81, 96)
SHAPES = ((64, 64), (64, 90), (80, 64))


class _Watch(TorchDispatchMode):
    """Takes "meta" for a GPU: counts what is copied there and back, and refuses whatever else would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[torch.dtype] = []
        self.fetched: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        name = func.overloadpacket.__name__
        there = any(tensor.device == META for tensor in tensors)
        assert not there or name not in ("_local_scalar_dense", "nonzero", "masked_select", "equal"), name
        if name in ("_to_copy", "to") and kwargs.get("device", tensors[0].device) != tensors[0].device:
            if kwargs["device"] == META:
                self.sent.append(tensors[0].dtype)
            else:
                self.fetched.append(tuple(tensors[0].shape))
                return torch.zeros(tensors[0].shape, dtype=kwargs.get("dtype") or tensors[0].dtype)
        else:
            assert len({tensor.device for tensor in tensors if tensor.dim()}) < 2, f"{name} of two devices"
        return func(*args, **kwargs)


@contextmanager
def watched() -> Iterator[_Watch]:
    """Copies to and from "meta" inside."""
    with _Watch() as watch:
        yield watch


def rescaled(count: int) -> list[list[Tensor]]:
    """So many images of three shapes at each of three scales."""
    return [
        [torch.zeros(3, *(side * scale // 64 for side in SHAPES[place % 3]), dtype=torch.uint8) for scale in SCALES]
        for place in range(count)
    ]


DENSE: dict[str, Any] = {
    "dense": lambda net, most: DenseEvaluator(net, SCALES, most_pixels=most),
    "soft-max first, no flip": lambda net, most: DenseEvaluator(
        net, SCALES, flip=False, softmax_first=True, most_pixels=most
    ),
    "crops": lambda net, most: DenseEvaluator(net, SCALES, protocol="multi_crop_and_dense", most_pixels=most),
    "fc7": lambda net, most: DenseDescriptor(net, "fc7", SCALES, most_pixels=most),
    "conv3_3": lambda net, most: DenseDescriptor(net, "conv3_3", SCALES, most_pixels=most),
}


@pytest.mark.parametrize(
    ("made", "most"), [*((made, None) for made in DENSE), ("dense", 64 * 64), ("conv3_3", 64 * 64)]
)
def test_a_batch_is_sent_once_and_everything_fetched_at_once(made: str, most: int | None) -> None:
    """Twelve images of three shapes at three scales, in batches, and in tiles of one image; mirrored on the device."""
    evaluator: DenseNet = DENSE[made](small().to(META), most)
    with watched():
        evaluator.of_rescaled(rescaled(1))  # sends the mean and the deviation
    images = rescaled(12)
    with watched() as watch:
        found = evaluator.of_rescaled([*images, None])
    batches = len(list(evaluator.batches(images)))
    assert batches == 9 if most is None else batches > 30
    assert watch.sent == [torch.uint8] * batches
    assert watch.fetched == [(36, found.shape[1])]
    assert found.is_cpu
    assert found.isnan().any(1).tolist()[-1:] == [True]


def test_nothing_is_fetched_where_no_image_is_good() -> None:
    """Rows of NaN need no net."""
    evaluator = DenseEvaluator(small().to(META), SCALES)
    with watched() as watch:
        found = evaluator.of_rescaled([None, None])
    assert found.isnan().all()
    assert watch.sent == watch.fetched == []


def test_a_localiser_sends_pixels_once_and_fetches_its_classes_windows_alone() -> None:
    """Five of seven classes, for all of a batch at once."""
    classifier, boxes = small(num_classes=7).to(META), small("vgg_d_box", num_classes=7).to(META)
    localiser = Localiser(boxes, DenseEvaluator(classifier, SCALES), SCALES)
    with watched():
        localiser.of_rescaled(rescaled(1))
    with watched() as watch:
        localiser.of_rescaled(rescaled(12))
    assert watch.sent == [torch.uint8] * 9 + [torch.uint8, torch.int64] * 9  # the classifier's, then those for windows
    assert [shape[:2] for shape in watch.fetched[1::2]] == [(4, 5)] * 9


def test_tensor_cores_are_given_nhwc_and_the_owners_weights_stay() -> None:
    """In bfloat16, by autocast or by the weights; IEEE float32 has the layout of the net's own choice."""
    net, pixels = small(), torch.zeros(2, 3, 64, 80, dtype=torch.uint8)
    assert dense_input(net, pixels).is_contiguous()
    with torch.autocast("cpu", torch.bfloat16):
        assert dense_input(net, pixels).is_contiguous(memory_format=torch.channels_last)
    half = small().bfloat16()
    assert dense_input(half, pixels).is_contiguous(memory_format=torch.channels_last)
    DenseEvaluator(half, SCALES).of_rescaled(rescaled(3))
    assert all(weight.is_contiguous() for weight in half.parameters())


def test_both_ways_is_one_batch_on_a_gpu() -> None:
    """Images, then their mirror images; the mean of each and its own. A CPU takes one after the other."""
    seen = []

    def first_column(pixels: Tensor) -> Tensor:
        seen.append(pixels)
        return pixels[:, 0, 0, :1].double()

    pixels = torch.arange(12, dtype=torch.uint8).view(2, 1, 2, 3)
    evaluator = DenseEvaluator(small(), SCALES)
    assert evaluator.both_ways(first_column, pixels).tolist() == [[1.0], [7.0]]
    assert evaluator.both_ways(first_column, pixels.to(META)).shape == (2, 1)
    assert [len(batch) for batch in seen] == [2, 2, 4]


@pytest.mark.parametrize(
    ("gib", "expected"), [(2, 2**20), (7.9, 2**20), (8, 2**21), (23.6, 2**22), (79.1, 2**24), (139.8, 2**24)]
)
def test_pixels_at_once_follow_from_all_of_the_memory(
    gib: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power of two; a net that was moved has that of where it is now."""
    assert default_most_pixels(CPU) == default_most_pixels(META) == 2**20
    memory = SimpleNamespace(total_memory=int(gib * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    assert default_most_pixels(CUDA) == expected
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: memory.total_memory)
    assert default_most_pixels(MPS) == expected
    evaluator = DenseEvaluator(small(), SCALES)
    assert evaluator.most_pixels == 2**20
    monkeypatch.setattr(DenseNet, "device", CUDA)
    assert evaluator.most_pixels == expected
    assert DenseEvaluator(small(), SCALES, most_pixels=10**5).most_pixels == 10**5


def test_sums_have_the_widest_type_of_the_device() -> None:
    """mps has no float64."""
    assert [widest(device) for device in (CPU, CUDA, MPS)] == [torch.float64, torch.float64, torch.float32]


def test_to_cuda_a_batch_goes_pinned_and_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacked in the pinned memory itself."""
    calls: list[Any] = []
    empty = torch.empty

    def no_pin(*size: Any, pin_memory: bool = False, **options: Any) -> Tensor:
        calls.append(pin_memory)
        return empty(*size, **options)

    def to(batch: Tensor, device: Any, non_blocking: bool = False) -> Tensor:
        calls.append((device, non_blocking))
        return batch

    images = [torch.full((3, 2, 2), value, dtype=torch.uint8) for value in (1, 2)]
    monkeypatch.setattr(torch, "empty", no_pin)
    monkeypatch.setattr(Tensor, "to", to)
    batch = stacked_on(CUDA, images)
    assert calls == [True, (CUDA, True)]
    assert torch.equal(batch, torch.stack(images))


def test_constants_are_copied_once_and_take_part_in_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those first made in inference mode, too; and what fake tensors leave behind is not theirs."""
    monkeypatch.setattr(devices, "_constants", {})
    net, pixels = small(), torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        expected = net_input(net, pixels)
    kept = dict(devices._constants)
    assert len(kept) == 2
    leaf = pixels.clone().requires_grad_()
    (net_input(net, leaf) ** 2).sum().backward()
    assert leaf.grad is not None
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        net_input(net, torch.empty(1, 3, 64, 64))
    assert devices._constants == kept
    assert torch.equal(net_input(net, pixels), expected)
    devices._constants.clear()
    torch.func.grad(lambda images: net_input(net, images).sum())(pixels)
    assert not devices._constants
    devices._constants.update(kept)
    exported = torch.export.export(_Input(net), (pixels,)).module()
    assert torch.equal(exported(pixels), expected)
    monkeypatch.setattr(devices, "_MOST_CONSTANTS", 2)
    assert constant_like(pixels, (7.0,)).tolist() == [[[[7.0]]]]
    assert devices._constants == kept


class _Input(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: Tensor) -> Tensor:
        """As the net takes it."""
        return net_input(self.net, pixels)


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_the_arithmetic_is_named(device: str) -> None:
    """TF32 is for float32 on CUDA alone."""
    for tf32 in (False, True):
        named = [arithmetic_on(device, dtype, tf32) for dtype in (torch.float64, torch.bfloat16, torch.float16)]
        assert named == ["exact", "bf16", "fp16"]
        assert arithmetic_on(device, torch.float32, tf32) == ("tf32" if tf32 and device == "cuda" else "exact")


def test_the_flags_of_tf32_are_read_as_pytorch_reads_them() -> None:
    """The older and, where PyTorch has them, the newer ones, also mixed."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    try:
        for convolutions, products in ((False, False), (False, True), (True, False), (True, True)):
            cudnn.allow_tf32, matmul.allow_tf32 = convolutions, products
            assert tf32_allowed() == (convolutions or products)
        if hasattr(cudnn, "conv"):
            kept = cudnn.conv.fp32_precision, matmul.fp32_precision
            cudnn.conv.fp32_precision, matmul.fp32_precision = "tf32", "ieee"
            assert tf32_allowed()
            cudnn.conv.fp32_precision = "ieee"
            assert not tf32_allowed()
            cudnn.conv.fp32_precision, matmul.fp32_precision = kept
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def test_autocast_and_the_weights_decide_the_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a net as it is now; a fast copy is the only one that transforms."""
    net = small()
    assert (arithmetic(net), arithmetic(net, exact=True)) == ("winograd", "exact")
    with torch.autocast("cpu", torch.bfloat16):
        assert DenseEvaluator(net, SCALES).arithmetic == "bf16"
        assert arithmetic(small().double()) == "exact"  # which autocast leaves alone
    assert arithmetic(small().half()) == "fp16"
    assert arithmetic(small().to(META)) == "exact"
    monkeypatch.setattr(devices, "tf32_allowed", lambda: True)
    weight = SimpleNamespace(device=CUDA, dtype=torch.float32)
    assert arithmetic_of(weight) == "tf32"  # type: ignore[arg-type]
    with torch.autocast("cuda", torch.bfloat16) if torch.cuda.is_available() else _autocast_on_cuda(monkeypatch):
        assert arithmetic_of(weight) == "bf16"  # type: ignore[arg-type]


@contextmanager
def _autocast_on_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `torch.autocast` sets; without a GPU it only warns."""
    with monkeypatch.context() as patched:
        patched.setattr(torch, "is_autocast_enabled", lambda device: device == "cuda")
        patched.setattr(torch, "get_autocast_dtype", lambda device: torch.bfloat16)
        yield


def test_constants_are_the_same_for_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever comes first."""
    monkeypatch.setattr(devices, "_constants", {})
    images, found = torch.zeros(1, 3, 4, 4), []
    threads = [threading.Thread(target=lambda: found.append(constant_like(images, (1.0, 2.0, 3.0)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, found[0]) for one in found)
    assert len(devices._constants) == 1


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("avx2 avx512f", None), ("avx512f avx512_bf16", "avx512"), ("avx512_bf16 amx_bf16 amx_tile", "amx")],
)
@pytest.mark.parametrize("asked", ["PyTorch", "the system"])
def test_bf16_is_what_the_cpu_has(
    flags: str, expected: str | None, asked: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PyTorch knows, or where it does not say, the kernel of Linux."""
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "cpuinfo")
    for name, flag in (("_is_avx512_bf16_supported", "avx512_bf16"), ("_is_amx_tile_supported", "amx_tile")):
        if asked == "PyTorch":
            monkeypatch.setattr(torch.cpu, name, lambda flag=flag: flag in flags, raising=False)
        else:
            monkeypatch.delattr(torch.cpu, name, raising=False)
    assert bf16_of_cpu.__wrapped__() == expected
