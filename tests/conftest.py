"""Settings of every test: no network, no GPU, little noise."""

import os

# Read when the libraries are first imported, hence before any test module is.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TQDM_DISABLE="1")
