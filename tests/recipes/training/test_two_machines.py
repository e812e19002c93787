"""Training on two machines that share nothing but the network: folders and caches are their own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from recipes.data import digits
from recipes.runtime.lifeline import GRACE, SILENCE
from tests.recipes.commands import ENVIRONMENT, TINY, succeed, train_command
from tests.two_machines import Machine, two_machines
from vgg_zoo.weights.files import file_digest

pytestmark = pytest.mark.slow

TORCHRUN = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
ACCELERATE = [
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "2", "--num_processes", "2"),
    *("--mixed_precision", "no", "--dynamo_backend", "no"),
]

SHORT = ["--max-steps", 40]
Job = subprocess.Popen[str]

IMPATIENT = """
import os, sys
sys.path.insert(0, os.getcwd())
import recipes.train
from recipes.runtime import lifeline
lifeline.SILENCE, lifeline.GRACE = (1, 1, 2), 1
sys.exit(recipes.train.main(sys.argv[1:]))
"""
"""A training whose kernel asks after a second, so that this test need not take a minute."""


@dataclass
class Cluster:
    """Two machines, each with folders of its own under the same paths.

    Attributes:
        machines: Machine 0 has process 0.
        runs: Where runs are written, which each sees as its own.
        cache: Of `datasets`, too.
        data: A file that both read.
    """

    machines: tuple[Machine, Machine]
    runs: Path
    cache: Path
    data: Path

    def start(self, kind: str, output: Path, *options: Any, script: str = "recipes/train.py") -> list[Job]:
        """The same command on both machines, except for its rank."""
        words = ["--recipe", TINY, "--data", self.data, "--output", output, "--precision", "fp64", *SHORT, *options]
        environment = {**ENVIRONMENT, "HF_HOME": str(self.cache), "HF_DATASETS_CACHE": str(self.cache)}
        return [
            machine.start([sys.executable, *self._launcher(kind, rank), script, *map(str, words)], environment)
            for rank, machine in enumerate(self.machines)
        ]

    def _launcher(self, kind: str, rank: int) -> list[str]:
        address, port = self.machines[0].address, "29500"
        if kind == "accelerate":
            options = ["--machine_rank", str(rank), "--main_process_ip", address, "--main_process_port", port]
            return [*ACCELERATE, *options]
        options = ["--node-rank", str(rank), "--master-addr", address, "--master-port", port]
        return [*(TORCHRUN if kind == "torchrun" else ["recipes/launch.py", *TORCHRUN[2:]]), *options]

    def train(self, kind: str, output: Path, *options: Any) -> list[str]:
        """To the end, which must be a good one; what each machine said."""
        jobs = self.start(kind, output, *options)
        said = [job.communicate(timeout=300)[0] for job in jobs]
        assert [job.returncode for job in jobs] == [0, 0], "\n".join(said)
        return said


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Made once; every test writes into a folder of its own."""
    folder = tmp_path_factory.mktemp("two")
    runs, cache, data = folder / "runs", folder / "cache", folder / "digits.parquet"
    for path in (runs, cache):
        path.mkdir()
    digits._digits().to_parquet(data)
    with two_machines(folder, [runs, cache]) as machines:
        yield Cluster(machines, runs, cache, data)


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster) -> Path:
    """An undisturbed run by torchrun, as machine 0 sees it."""
    cluster.train("torchrun", cluster.runs / "torchrun")
    return cluster.machines[0].seen(cluster.runs / "torchrun")


def test_two_machines_train_what_one_process_does(cluster: Cluster, undisturbed: Path, tmp_path: Path) -> None:
    """Sect. 3.3, by both launchers: at most 1e-12 in fp64. Machine 1 has a cache of its own, and no output."""
    words = train_command(tmp_path / "one", "--data", cluster.data, "--precision", "fp64", *SHORT)
    succeed(words, HF_DATASETS_CACHE=str(tmp_path / "cache"))
    cluster.train("accelerate", cluster.runs / "accelerate")
    accelerate = cluster.machines[0].seen(cluster.runs / "accelerate")
    expected, found = (load_file(folder / "model.safetensors") for folder in (tmp_path / "one", undisturbed))
    assert max((found[key] - expected[key]).abs().max().item() for key in expected) <= 1e-12
    assert file_digest(accelerate / "model.safetensors") == file_digest(undisturbed / "model.safetensors")
    assert not list(cluster.machines[1].seen(cluster.runs).iterdir())
    assert all(any(machine.seen(cluster.cache).rglob("*.arrow")) for machine in cluster.machines)
    assert not any(cluster.runs.iterdir())


def wait_for_a_checkpoint(cluster: Cluster, output: Path, job: Job) -> None:
    """Until machine 0 has written one."""
    deadline = time.monotonic() + 300
    while not list(cluster.machines[0].seen(output / "checkpoints").glob("step-*")):
        assert job.poll() is None, job.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_ends(machine: Machine, job: Job) -> str:
    """Soon, with an error and no traceback, and with nothing left behind; what it says."""
    said = job.communicate(timeout=60)[0]
    assert job.returncode == 1
    (line,) = (line for line in said.splitlines() if line.startswith("error: "))
    assert line.endswith("; the same command resumes")
    assert "Traceback" not in said
    assert psutil.wait_procs(machine.processes(), timeout=30)[1] == []
    return line


@pytest.mark.parametrize("killed", [0, 1])
def test_a_machine_that_dies_ends_the_other(cluster: Cluster, undisturbed: Path, killed: int) -> None:
    """Whichever it is; the same command resumes, and ends bit-identical to an undisturbed run."""
    output = cluster.runs / f"killed-{killed}"
    jobs = cluster.start("launch", output, "--checkpoint-every", 2)
    wait_for_a_checkpoint(cluster, output, jobs[0])
    cluster.machines[killed].kill()
    assert "another process of the job " in assert_ends(cluster.machines[1 - killed], jobs[1 - killed])
    if killed == 0:  # the writer
        said = cluster.train("launch", output)
        assert "resumes from step " in said[0]
        written = cluster.machines[0].seen(output) / "model.safetensors"
        assert file_digest(written) == file_digest(undisturbed / "model.safetensors")


def test_a_machine_whose_network_fails_ends_both(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing reports it, and sums would wait for ten minutes; the kernel's probes detect it."""
    script = tmp_path / "impatient.py"
    script.write_text(IMPATIENT)
    output = cluster.runs / "unplugged"
    jobs = cluster.start("launch", output, "--checkpoint-every", 2, script=str(script))
    wait_for_a_checkpoint(cluster, output, jobs[0])
    cluster.machines[1].unplug()
    for machine, job in zip(cluster.machines, jobs, strict=True):
        assert "error: another process of the job is gone (Connection timed out)" in assert_ends(machine, job)
    cluster.machines[1].plug_in()
    idle, between, count = SILENCE
    assert idle + between * count + 2 * GRACE < 60


def test_nothing_is_left_of_the_machines(tmp_path: Path) -> None:
    """Whatever happens to a test, and whatever still runs on them."""
    with suppress(ZeroDivisionError), two_machines(tmp_path, []) as machines:
        asleep = machines[1].start(["sleep", "100"], ENVIRONMENT)
        raise ZeroDivisionError
    assert asleep.returncode is not None
    assert not [machine for machine in machines if Path("/run/netns", machine.name).exists()]
