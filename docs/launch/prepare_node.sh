#!/bin/bash
# Run this once on each machine before the first job. It downloads and prepares the data on the local disk, and reads every image once.
#   bash docs/launch/prepare_node.sh
set -eu
export HF_HOME="/local/$USER/huggingface" HF_DATASETS_CACHE="/local/$USER/huggingface/datasets"
python recipes/check_data.py --data ILSVRC/imagenet-1k --workers 32 --output "/local/$USER/check_imagenet"
