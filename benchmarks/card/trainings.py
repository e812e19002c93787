"""Trainings of a tiny net on noise by the project's own command, in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node")
STEPS = 20
"""SGD steps by which two ways to train are compared: two epochs, each with a test."""

RECIPE = """from recipes.recipe import Recipe
def recipe():
    return Recipe(
        model={model!r},
        model_args={{"width_multiplier": 0.125, "head_hidden_size": 64, "head_kernel_size": 2}},
        train_scales=(64, 96),
        crop_size=64,
        test_scale=80,
        batch_size=16,
        epochs={epochs},
        milestones=(1,),
    )
"""


class Trainings:
    """A folder with noise to learn and recipes to learn it by, and the runs on them.

    The images are noise in every pixel: where an image is flat, cells of a map are equal, and which of them a max-pool
    passes its gradient to is rounding's choice, which differs between devices.

    Args:
        folder: Empty; for everything.
        gpu: Train on the GPU; otherwise on the CPU.
    """

    def __init__(self, folder: Path, gpu: bool) -> None:
        self.folder, self.gpu, self.data = folder, gpu, folder / "noise"
        generator = np.random.default_rng(0)
        for split, count in (("train", 160), ("val", 16)):
            for number in range(count):
                file = self.data / split / f"class_{number % 4}" / f"{number}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(generator.integers(0, 256, (96, 112, 3), dtype=np.uint8)).save(file, quality=92)

    def command(
        self,
        run: str,
        *options: str,
        model: str = "vgg_a",
        epochs: int = 4,
        launcher: Sequence[str] = (),
        script: Sequence[str] = ("recipes/train.py",),
    ) -> list[str]:
        """A training's command line.

        Args:
            run: Names its folder.
            options: Of recipes/train.py.
            model: Of its recipe.
            epochs: Of ten steps.
            launcher: What starts it, behind Python.
            script: recipes/train.py, or what stands for it.
        """
        recipe = self.folder / f"{model}_{epochs}.py"
        if not recipe.exists():  # trainings that run side by side share it
            recipe.write_text(RECIPE.format(model=model, epochs=epochs))
        fixed = ["--recipe", str(recipe), "--data", str(self.data), "--output", str(self.folder / run)]
        return [sys.executable, *launcher, *script, *fixed, *options]

    def environment(self, gpu: bool | None = None) -> dict[str, str]:
        """Of a training: without a network, and on the CPU without a GPU to be found."""
        given = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TQDM_DISABLE": "1"}
        if not (self.gpu if gpu is None else gpu):
            given |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        return given

    def train(
        self,
        run: str,
        *options: str,
        model: str = "vgg_a",
        launcher: Sequence[str] = (),
        script: Sequence[str] = ("recipes/train.py",),
        gpu: bool | None = None,
    ) -> Path:
        """Run to the end; the folder of the net.

        Raises:
            RuntimeError: It did not end well; the message has its last words.
        """
        command = self.command(run, *options, model=model, launcher=launcher, script=script)
        done = subprocess.run(command, cwd=ROOT, env=self.environment(gpu), check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{run} ended with code {done.returncode}: {last_words(done.stderr)}")
        return self.folder / run


def last_words(said: str) -> str:
    """The last line of what a process said that tells something."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    # torchrun's summary comes last, and the error of what it ran before it.
    telling = [line for line in lines if "Error" in line or line.startswith("error:")]
    return (telling or lines or ["it said nothing"])[-1][-300:]
