#!/bin/bash
# Two machines of eight GPUs by Slurm: run "sbatch docs/launch/slurm.sh" in the checkout. The job stops two minutes before its
# time is over, writes a checkpoint, and queues itself again until the run is finished.
#SBATCH --job-name=vgg_d_s256_glorot
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=96
#SBATCH --time=12:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -u

# A local disk of each machine: datasets prepares its files there once, and later jobs find them.
export HF_HOME="/local/$USER/huggingface" HF_DATASETS_CACHE="/local/$USER/huggingface/datasets"

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000)) # so that two jobs on one machine use different ports

# One launcher per machine (ntasks-per-node=1). It starts the eight processes and passes USR1 on to them.
srun --kill-on-bad-exit=0 python recipes/launch.py \
    --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint "$first:$port" \
    --rdzv-id "$SLURM_JOB_ID" \
    recipes/train.py --recipe vgg_d_s256_glorot --data ILSVRC/imagenet-1k --output runs/vgg_d_s256_glorot \
    --precision bf16 --channels-last --bf16-gradients --workers 10
code=$?

# 143: stopped by the signal, and resumable. Any other code is a finished run or an error that a restart would not fix.
if [ "$code" -eq 143 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
