#!/bin/bash
# Two machines of eight GPUs without a scheduler. The same on both, at about the same time:
#   bash docs/launch/torchrun_two_nodes.sh 0 10.0.0.1     # on the first, whose address it is
#   bash docs/launch/torchrun_two_nodes.sh 1 10.0.0.1     # on the second
set -eu
rank=$1 first=$2

export HF_HOME="/local/$USER/huggingface" HF_DATASETS_CACHE="/local/$USER/huggingface/datasets"

# torchrun's own command would do; by recipes/launch.py the exit code is 143 after a SIGTERM, not 1.
exec python recipes/launch.py \
    --nnodes 2 --node-rank "$rank" --nproc-per-node 8 --master-addr "$first" --master-port 29500 \
    recipes/train.py --recipe vgg_d_s256_glorot --data ILSVRC/imagenet-1k --output runs/vgg_d_s256_glorot \
    --precision bf16 --channels-last --bf16-gradients --workers 10
