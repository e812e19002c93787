"""Sections of `benchmarks.gpu` about one SGD step of net D: how exact it is, how fast, and what its images cost."""

import copy
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.card.device import allow_tf32, gemm_rate, in_use, interleaved, peak, seconds
from benchmarks.card.nets import PEERS, flops, ours, timms
from benchmarks.card.report import FAILED, NOT_RUN, Report, Setting
from benchmarks.card.trainings import ROOT, last_words

SIDE = 224
FROM_PEERS, OF_GEMM, OF_MEMORY = 1.05, 0.35, 0.95
"""Goals: times the best peer's rate, share of the matrix product's rate, and of the rate of images in memory."""


def made_up(setting: Setting, batch: int) -> tuple[Tensor, Tensor]:
    """Images as a trained net sees them, RGB minus mean, in NHWC, and labels."""
    generator = torch.Generator(setting.device).manual_seed(0)
    images = 58 * torch.randn(batch, 3, SIDE, SIDE, device=setting.device, generator=generator)
    labels = torch.randint(0, 1000, (batch,), device=setting.device, generator=generator)
    return images.contiguous(memory_format=torch.channels_last), labels


def sgd_step(
    setting: Setting, net: nn.Module, model: Callable[[Tensor], Tensor], given: tuple[Tensor, Tensor], autocast: bool
) -> Callable[[], Tensor]:
    """Forward, backward and SGD with momentum; it returns the loss.

    Args:
        setting: Where.
        net: Whose weights are trained.
        model: The same, perhaps compiled.
        given: Images and labels.
        autocast: To bf16.
    """
    optimizer = torch.optim.SGD(net.parameters(), 1e-2, 0.9, weight_decay=5e-4, fused=setting.gpu)
    images, labels = given

    def step() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(setting.device, torch.bfloat16) if autocast else nullcontext():
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def precision(report: Report) -> None:
    """Ten steps in TF32 and in bf16, beside IEEE's fp32: losses, and gradients beside those of timm's net.

    No dropout, equal weights and images. The relative error of a gradient grows from the last layer to the first, for
    every net alike: rounding decides some ReLUs and max-pools the other way. So a number bounds the last layer's, and
    timm's net with the same weights those of the others.
    """
    setting = report.setting
    torch.manual_seed(0)
    nets = [ours(setting.small, drop_rate=0.0), timms(setting.small, drop_rate=0.0)]
    nets[1].load_state_dict(nets[0].state_dict())
    exact = [_course(setting, "IEEE fp32", net) for net in nets]
    losses = exact[0].losses
    report.add("IEEE fp32: losses, first and last", f"{losses[0]:.5f}, {losses[-1]:.5f}", value=losses[-1])
    for arithmetic, bound in (("tf32", 1e-3), ("bf16", 2e-2)):
        if arithmetic == "tf32" and not setting.gpu:
            report.add(arithmetic, verdict=f"{NOT_RUN}CPUs have no TF32")
            continue
        rounded = [_course(setting, arithmetic, net) for net in nets]
        found = rounded[0].losses
        report.bound(f"{arithmetic}: first loss, relative difference", abs(found[0] / losses[0] - 1), bound)
        report.add(f"{arithmetic}: last loss", f"{found[-1]:.5f}, beside {losses[-1]:.5f}", value=found[-1])
        mine, theirs = (errors(*pair) for pair in zip(rounded, exact, strict=True))
        report.bound(f"{arithmetic}: gradient of {LAST}, relative error", mine[LAST], 3e-2)
        worst = max(mine, key=lambda name: mine[name])
        said = f"{mine[worst]:.2g}, timm's {theirs[worst]:.2g}"
        report.add(f"{arithmetic}: gradient of {worst}, relative error, the largest", said, value=mine[worst])
        ratio = max(mine[name] / max(theirs[name], 1e-9) for name in mine)
        report.bound(f"{arithmetic}: gradients' relative error ÷ timm's, the largest", ratio, FROM_ROUNDING)


LAST, FROM_ROUNDING = "head.fc.weight", 1.5


class Course(NamedTuple):
    """Of some steps of a net: the losses, and the gradients of the first step by name."""

    losses: list[float]
    gradients: dict[str, Tensor]


def _course(setting: Setting, arithmetic: str, begins: Any) -> Course:
    """From a net's weights, which stay."""
    batch, steps = (64, 10) if setting.gpu else (4, 2)
    allow_tf32(arithmetic == "tf32")
    net = copy.deepcopy(begins).to(setting.device, memory_format=torch.channels_last).train()
    step = sgd_step(setting, net, net, made_up(setting, batch), arithmetic == "bf16")
    losses = [step().item()]
    gradients = {name: each.grad.clone() for name, each in net.named_parameters()}
    return Course(losses + [step().item() for _ in range(steps - 1)], gradients)


def errors(rounded: Course, exact: Course) -> dict[str, float]:
    """The relative error of each gradient."""
    return {name: ((rounded.gradients[name] - own).norm() / own.norm()).item() for name, own in exact.gradients.items()}


def step(report: Report) -> None:
    """The rate of a step on images in memory, beside timm's and torchvision's nets, eager and compiled, in bf16."""
    setting = report.setting
    batch, rounds, times, warm = (256, 5, 4, 5) if setting.gpu else (2, 1, 1, 1)
    torch.backends.cudnn.benchmark = True  # of all nets alike
    given, gemm = made_up(setting, batch), gemm_rate(setting)
    runs: dict[str, Callable[[], object]] = {}
    peaks: dict[str, float] = {}
    # A CPU's code would be compiled for minutes.
    backend = "inductor" if setting.gpu else "eager"
    for name, make in PEERS.items():
        for way in ("eager", "compiled"):
            cell = f"{name}, {way}"
            before = in_use(setting)
            try:
                net = make(setting.small).to(setting.device, memory_format=torch.channels_last).train()
                model = torch.compile(net, backend=backend) if way == "compiled" else net
                run = sgd_step(setting, net, model, given, autocast=True)
                seconds(setting, run, warm)
            except (
                Exception
            ) as error:  # out of memory, or what the compiler met: the other cells are still worth having
                report.add(cell, verdict=f"{FAILED}{type(error).__name__}: {error}"[:300].replace("\n", " "))
                continue
            # After the warm-up: cuDNN's trials of its algorithms take memory that no later step takes.
            runs[cell], peaks[cell] = run, peak(setting, run, before)
    taken = interleaved(setting, runs, rounds, times)
    _judge(report, {cell: batch / each for cell, each in taken.items()}, peaks, gemm)


def _judge(report: Report, rates: dict[str, float], peaks: dict[str, float], gemm: float) -> None:
    """A line for each cell, in images a second; then the goals."""
    image = 3 * flops(report.setting, 1, 3, SIDE, SIDE)
    for cell, rate in rates.items():
        words = (
            f"{rate:.4g} images/s, {rate * image / 1e12:.3g} TFLOP/s, {rate * image / gemm:.1%} of the matrix product"
        )
        report.add(cell, f"{words}, peak {peaks[cell]:.1f} GB", value=rate)
    for way in ("eager", "compiled"):
        mine = f"ours, {way}"
        others = [cell for cell in rates if cell.endswith(way) and cell != mine]
        if mine not in rates or not others:
            report.add(f"{mine}: goals", verdict=f"{NOT_RUN}it or its peers failed")
            continue
        best = max(rates[cell] for cell in others)
        report.goal(f"{mine}: rate ÷ the best peer's", rates[mine] / best, least=FROM_PEERS)
        report.goal(f"{mine}: share of the matrix product's rate", rates[mine] * image / gemm, least=OF_GEMM)
        leanest = min(peaks[cell] for cell in others)
        report.goal(f"{mine}: peak memory ÷ the leanest peer's", peaks[mine] / leanest, most=1.0)


def files(report: Report) -> None:
    """From JPEG files to the SGD step, as the trainer's dry run has it, beside the same step on images in memory."""
    setting = report.setting
    recipe, batch, workers, options = "vgg_d_s256@small", 2, 1, ["--dry-run", "3"]
    if setting.gpu:
        recipe, batch, workers = "vgg_d_s256", 256, max(1, _cores() - 2)
        options = ["--dry-run", "40", "--precision", "bf16", "--channels-last"]
    torch.backends.cudnn.benchmark = True  # as of the section `step`
    net: Any = ours(setting.small).to(setting.device, memory_format=torch.channels_last).train()
    run = sgd_step(setting, net, net, made_up(setting, batch), autocast=True)
    seconds(setting, run, 5 if setting.gpu else 1)
    memory = batch / seconds(setting, run, 20 if setting.gpu else 1)
    del net, run
    if setting.gpu:
        torch.cuda.empty_cache()  # the dry run is a process of its own
    command = [sys.executable, "recipes/train.py", "--recipe", recipe, "--workers", str(workers), *options]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    rates = re.findall(r"([\d.,]+) images/s", done.stdout)
    if done.returncode or not rates:
        report.add("dry run", verdict=f"{FAILED}code {done.returncode}: {last_words(done.stderr or done.stdout)}")
        return
    rate = float(rates[-1].replace(",", ""))
    report.add("images in memory", f"{memory:.4g} images/s", value=memory)
    report.add(f"from JPEG files, {workers} workers", f"{rate:.4g} images/s", value=rate)
    if setting.gpu:
        report.goal("from files ÷ in memory", rate / memory, least=OF_MEMORY)
    else:
        report.add("from files ÷ in memory", verdict=f"{NOT_RUN}the small recipe has another net and batch")


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
