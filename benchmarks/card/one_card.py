"""A rank of a training whose ranks share one GPU: recipes/train.py with gloo, as NCCL takes a GPU once only.

    torchrun --nproc-per-node 2 -m benchmarks.card.one_card --recipe ... --data ... --output ...

Accelerate chooses the backend when its state is first made, here, and the trainer's accelerator takes that state over.
"""

import os
import sys
from datetime import timedelta

# The place of its GPU, for Accelerate and for DDP; and that the recipes, which refuse more ranks than GPUs, take it.
os.environ |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}

import torch
from accelerate import PartialState

from recipes import train

if __name__ == "__main__":
    PartialState(cpu=not torch.cuda.is_available(), backend="gloo", timeout=timedelta(minutes=2))
    sys.exit(train.main(sys.argv[1:]))
