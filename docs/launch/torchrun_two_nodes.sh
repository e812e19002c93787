#!/bin/bash
# Two machines of eight GPUs without a scheduler. Run this on both at about the same time:
#   bash docs/launch/torchrun_two_nodes.sh 0 10.0.0.1     # on the first, which has this address
#   bash docs/launch/torchrun_two_nodes.sh 1 10.0.0.1     # on the second
set -eu
rank=$1 first=$2

export HF_HOME="/local/$USER/huggingface" HF_DATASETS_CACHE="/local/$USER/huggingface/datasets"

# The command "torchrun" would also work, but after a SIGTERM its exit code is 1; that of recipes/launch.py is 143.
exec python recipes/launch.py \
    --nnodes 2 --node-rank "$rank" --nproc-per-node 8 --master-addr "$first" --master-port 29500 \
    recipes/train.py --recipe vgg_d_s256_glorot --data ILSVRC/imagenet-1k --output runs/vgg_d_s256_glorot \
    --precision bf16 --channels-last --bf16-gradients --workers 10
