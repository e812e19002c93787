"""The section that says what this machine is, and its ceilings."""

import os
import shutil
import subprocess

import timm
import torch

from benchmarks.card.device import DTYPES, copy_rate, gemm_rate
from benchmarks.card.report import NOT_RUN, Report


def versions(report: Report) -> None:
    """GPU, driver and libraries; the rates of a matrix product and of copies."""
    setting = report.setting
    if setting.gpu:
        report.add("GPU", f"{torch.cuda.get_device_name()}, {torch.cuda.mem_get_info()[1] / 1e9:.0f} GB")
        report.add("driver", _driver())
        report.add("NCCL", ".".join(map(str, torch.cuda.nccl.version())))
    cudnn = torch.backends.cudnn.version() if setting.gpu else "–"
    libraries = f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}, timm {timm.__version__}"
    report.add("libraries", libraries)
    report.add("CPU", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")
    for arithmetic in DTYPES:
        what = f"matrix product, {arithmetic}"
        if arithmetic == "tf32" and not setting.gpu:
            report.add(what, verdict=f"{NOT_RUN}CPUs have no TF32")
            continue
        rate = gemm_rate(setting, arithmetic)
        report.add(what, f"{rate / 1e12:.3g} TFLOP/s", value=rate / 1e12)
    for pinned_host, what in ((False, "copy on the device, read and write"), (True, "copy from pinned host memory")):
        rate = copy_rate(setting, pinned_host)
        report.add(what, f"{rate / 1e9:.3g} GB/s", value=rate / 1e9)


def _driver() -> str:
    """The GPU's, as nvidia-smi has it."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return "nvidia-smi is not there"
    asked = [tool, "--query-gpu=driver_version,clocks.max.sm,power.limit", "--format=csv,noheader"]
    done = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=20)
    return next(iter((done.stdout or done.stderr).strip().splitlines()), "nvidia-smi says nothing")
