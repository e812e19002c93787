"""DDP with the recipes' settings in one rank, which Accelerate leaves out: NCCL on a GPU, gloo on a CPU.

    torchrun --nproc-per-node 1 -m benchmarks.card.one_rank --device cuda

It prints the largest relative error of a gradient beside those of the bare net, whose sum over one rank it is: plain,
and through the hook of `--bf16-gradients`, which rounds them to bf16.
"""

import argparse
import copy
import json

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from benchmarks.card.nets import ours


def gradients(net: nn.Module, model: nn.Module, images: Tensor) -> list[Tensor]:
    """Of the sum of all outputs' squares."""
    model(images).square().sum().backward()
    return [each.grad.clone() for each in net.parameters() if each.grad is not None]


def error(found: list[Tensor], bare: list[Tensor]) -> float:
    """The largest relative one."""
    return max(((one - other).norm() / other.norm()).item() for one, other in zip(found, bare, strict=True))


def main() -> None:
    """Print both errors as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True)
    device = torch.device(parser.parse_args().device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    torch.backends.cudnn.deterministic = True
    torch.manual_seed(0)
    net = ours(small=True, drop_rate=0.0).to(device)
    images = torch.randn(2, 3, 224, 224, device=device)
    bare = gradients(net, net, images)
    found = {}
    for name in ("plain", "bf16"):
        each = copy.deepcopy(net)
        each.zero_grad()
        model = DistributedDataParallel(each, gradient_as_bucket_view=True)
        if name == "bf16":
            model.register_comm_hook(None, bf16_compress_hook)
        found[name] = error(gradients(each, model, images), bare)
    print(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
