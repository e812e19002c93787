"""Two machines on this one: network namespaces joined by a cable, each with a folder of its own under the same paths.

Needs Linux, root and iproute2; a test that asks for them elsewhere is skipped with the reason.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psutil
import pytest

from tests.forked import ROOT

CABLE = "wire"
"""The network interface, by the same name on both machines."""

_numbers = count()


@dataclass
class Machine:
    """A network namespace with an address.

    Attributes:
        name: Of the namespace.
        address: In the network of the two.
        folder: What is its own.
        own: Paths under which it sees its own folders, where everybody else sees others.
        running: What was started.
    """

    name: str
    address: str
    folder: Path
    own: Sequence[Path]
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def seen(self, path: Path) -> Path:
        """Where a file lies that this machine sees under a path that is its own."""
        for number, own in enumerate(self.own):
            if path == own or own in path.parents:
                return self.folder / str(number) / path.relative_to(own)
        return path

    def start(self, line: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """Run a command line on this machine; its output is kept, both streams together."""
        mounts = [f"mount --bind {self.folder / str(number)} {own}" for number, own in enumerate(self.own)]
        words = ["unshare", "--mount", "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh", *line]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *words],  # noqa: S607
            cwd=ROOT,
            env={**environment, "GLOO_SOCKET_IFNAME": CABLE},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running.append(process)
        return process

    def processes(self) -> list[psutil.Process]:
        """All that run on it."""
        found = _ip("netns", "pids", self.name).stdout.split()
        return [psutil.Process(int(pid)) for pid in found if psutil.pid_exists(int(pid))]

    def kill(self) -> None:
        """SIGKILL to everything on it, as if its power were cut; the system still says that connections are closed."""
        while processes := self.processes():
            for process in processes:
                process.kill()
            psutil.wait_procs(processes, timeout=10)
        for process in self.running:
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def unplug(self) -> None:
        """Take its cable away: nothing comes through any more, and nobody is told."""
        _ip("-n", self.name, "link", "set", CABLE, "down")

    def plug_in(self) -> None:
        """Put it back."""
        _ip("-n", self.name, "link", "set", CABLE, "up")


@contextmanager
def two_machines(folder: Path, own: Sequence[Path]) -> Iterator[tuple[Machine, Machine]]:
    """Make them, and leave nothing of them.

    Args:
        folder: For what each has of its own.
        own: Folders that are there, in whose place each machine sees an empty one of its own.
    """
    names = [f"vgg{os.getpid()}-{next(_numbers)}" for _ in range(2)]
    machines = [Machine(name, f"10.77.0.{at}", folder / name, own) for at, name in enumerate(names, start=1)]
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("two machines need Linux, root, iproute2 and util-linux")
    try:
        for machine in machines:
            _ip("netns", "add", machine.name, skips=True)
            for number in range(len(own)):
                (machine.folder / str(number)).mkdir(parents=True)
        ends = [["name", CABLE, "netns", name] for name in names]
        _ip("link", "add", *ends[0], "type", "veth", "peer", *ends[1], skips=True)
        for machine in machines:
            _ip("-n", machine.name, "address", "add", f"{machine.address}/24", "dev", CABLE)
            for device in ("lo", CABLE):
                _ip("-n", machine.name, "link", "set", device, "up")
        true = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)  # noqa: S607
        if true.returncode:
            pytest.skip(f"no folders of its own for a machine: {true.stderr.strip()}")
        yield machines[0], machines[1]
    finally:
        for machine in machines:
            if Path("/run/netns", machine.name).exists():
                machine.kill()
                _ip("netns", "delete", machine.name)


def _ip(*words: str, skips: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)  # noqa: S607
    if done.returncode and skips:
        pytest.skip(f"no networks of their own for two machines: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done
