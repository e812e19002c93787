#!/bin/bash
# Once on each machine, before the first job: fetch and prepare the data on its own disk, and read every image once.
#   bash docs/launch/prepare_node.sh
set -eu
export HF_HOME="/local/$USER/huggingface" HF_DATASETS_CACHE="/local/$USER/huggingface/datasets"
python recipes/check_data.py --data ILSVRC/imagenet-1k --workers 32 --output "/local/$USER/check_imagenet"
