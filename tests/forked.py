"""Python's processes without Python's start: forked from a server that has imported the heavy libraries already.

`python recipes/evaluate.py ...` spends three to six seconds on importing PyTorch, timm and their friends before it does
anything, and the tests start hundreds of such commands. A forked one begins after some 50 ms, and is in all that a test
may look at the real thing: a process of its own that runs the file or module as `__main__`, with its own arguments,
environment, working directory, exit code and output, which can be stopped and killed.

What a library read from the environment while it was imported stays what it was: variables of the Hub's client
(HF_HOME, HF_ENDPOINT, ...) and another checkout of the package need `HEAVY`, the server that has imported neither.
Elsewhere than on Linux a fork of a process with PyTorch in it is not safe, and tests that need one are skipped.
"""

import atexit
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    *("numpy", "pandas", "pyarrow.parquet", "PIL.Image", "torch", "torchvision.transforms.v2", "safetensors.torch"),
    *("scipy.io", "sklearn.datasets", "sklearn.svm", "matplotlib.pyplot", "httpx", "jinja2", "yaml", "onnx"),
    *("onnxruntime", "psutil", "tqdm", "torch.distributed.elastic.multiprocessing.errors", "torch.fx"),
    *("torch._dynamo", "torch.utils.data", "torch.nn.parallel"),
)
"""What no variable of a test changes."""

WHOLE = (
    *HEAVY,
    *("datasets", "accelerate", "timm", "vgg_zoo", "vgg_zoo.localisation", "vgg_zoo.features"),
    *("recipes.runtime.work", "recipes.training.train", "recipes.training.reproduce", "recipes.data.check_data"),
    *(f"recipes.evaluation.{work}" for work in ("evaluate", "localise", "tables", "fuse")),
    *("recipes.features.extract_features", "recipes.features.linear_svm"),
)
"""That, and this checkout's own code."""


class Forked:
    """A forked process, as `subprocess.Popen` would have it, whose output is kept in two files."""

    def __init__(
        self,
        arguments: Sequence[Any],
        *,
        preload: Sequence[str] = WHOLE,
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        before: str = "",
        outputs: tuple[Path, Path] | None = None,
        place: str | None = None,
    ) -> None:
        """Begin.

        Args:
            arguments: What follows `python` on its command line: a file, -m and a module, or -c and code.
            preload: Of which server.
            cwd: Working directory.
            environment: All of it; that of the tests by default.
            before: Code that the process runs first.
            outputs: Files that stdout and stderr are added to.
            place: Where another process's server listens; `preload` is then not looked at.
        """
        if outputs is None:
            folder = Path(tempfile.mkdtemp(prefix="forked-"))
            outputs = (folder / "stdout", folder / "stderr")
        self.stdout_file, self.stderr_file = outputs
        self.args = [sys.executable, *map(str, arguments)]
        self.returncode: int | None = None
        request = {
            "arguments": self.args[1:],
            "cwd": str(cwd),
            "environment": dict(os.environ if environment is None else environment),
            "before": before,
            "outputs": list(map(str, outputs)),
        }
        self._answer = socket.socket(socket.AF_UNIX)
        self._answer.connect(place or server(tuple(preload)))
        self._answer.sendall(json.dumps(request).encode() + b"\n")
        self._lines = self._answer.makefile("r")
        self.pid = int(self._lines.readline())

    def poll(self) -> int | None:
        """The exit code, if it has ended; of a killed process the signal's number below zero."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended."""
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._answer, selectors.EVENT_READ)
                if selector.select(timeout):
                    self.returncode = os.waitstatus_to_exitcode(int(self._lines.readline()))
                    self._answer.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ended this moment
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.send_signal(signal.SIGKILL)
        self.wait()

    def done(self, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
        """Wait, and have what `subprocess.run` gives."""
        code = self.wait(timeout)
        texts = [path.read_text(errors="replace") for path in (self.stdout_file, self.stderr_file)]
        return subprocess.CompletedProcess(self.args, code, *texts)


def run_forked(arguments: Sequence[Any], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run to the end, whatever that is; `arguments` and options as `Forked` has them."""
    return Forked(arguments, **options).done()


def start_ranks(
    arguments: Sequence[Any], count: int, *, environment: Mapping[str, str], **options: Any
) -> list[Forked]:
    """Start the processes of one job, with the environment that torchrun would give them; one alone gets none."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    job = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GROUP_RANK": "0"}
    job |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    ranks = [{**job, "RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {} for rank in range(count)]
    return [Forked(arguments, environment={**environment, **rank}, **options) for rank in ranks]


def run_ranks(
    arguments: Sequence[Any], count: int, *, environment: Mapping[str, str], **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the processes of one job to their end, as torchrun would start them: if one fails, the others are stopped."""
    folder = Path(tempfile.mkdtemp(prefix="forked-"))
    options |= {"outputs": (folder / "stdout", folder / "stderr")}
    ranks = start_ranks(arguments, count, environment=environment, **options)
    while any(rank.poll() is None for rank in ranks):
        if any(rank.poll() for rank in ranks):
            for rank in ranks:
                rank.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    texts = [path.read_text(errors="replace") for path in options["outputs"]]
    return subprocess.CompletedProcess(ranks[0].args, max(abs(rank.wait()) for rank in ranks), *texts)


def launcher() -> str:
    """What stands for `python` where a command starts others: a process that lets the server fork what follows."""
    return f"{sys.executable} -m {__name__} --to {server(WHOLE)}"


@cache
def server(preload: tuple[str, ...]) -> str:
    """Start the server of these modules, once in a session of tests; where it listens."""
    if sys.platform != "linux":
        import pytest  # here, as no command that is forked may find it imported

        pytest.skip("it forks processes with PyTorch in them, which is safe on Linux alone")
    folder = tempfile.TemporaryDirectory(prefix="forked-")
    place = str(Path(folder.name) / "socket")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, "-m", __name__, place, *preload],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdin is not None
    assert server.stdout.readline() == b"ready\n"

    def end() -> None:
        server.stdin.close()  # type: ignore[union-attr]
        server.wait()
        folder.cleanup()

    atexit.register(end)
    return place


def _serve(place: str, preload: Sequence[str]) -> None:
    """The server: one request a connection, answered by the process's number and, when it has ended, its status."""
    for module in preload:
        import_module(module)
    if "matplotlib" in sys.modules:
        sys.modules["matplotlib"].use("agg")
    warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen(64)
    ended, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    for source in (listener, ended, sys.stdin):
        selector.register(source, selectors.EVENT_READ)
    print("ready", flush=True)
    running: dict[int, socket.socket] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:  # closed: the tests are over
                for pid in running:
                    os.kill(pid, signal.SIGKILL)
                return
            if key.fileobj is listener:
                connection, _ = listener.accept()
                request = json.loads(connection.makefile("r").readline())
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for each in (listener, ended, wake, connection, *running.values()):
                        each.close()
                    selector.close()
                    _become(**request)
                connection.sendall(f"{pid}\n".encode())
                running[pid] = connection
            else:
                ended.recv(4096)
                _report(running)


def _report(running: dict[int, socket.socket]) -> None:
    """Tell of every process that has ended."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with running.pop(pid) as connection:
            connection.sendall(f"{status}\n".encode())


def _become(arguments: list[str], cwd: str, environment: dict[str, str], before: str, outputs: Sequence[str]) -> None:
    """Be the process that was asked for, and end."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(("/dev/null", *outputs)):
        file = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = ["", *paths]
    code = 0
    try:
        exec(before, {})  # noqa: S102 - of a test
        _run(arguments)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(arguments: list[str]) -> None:
    """As `python ARGUMENTS` does."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        exec(arguments[1], {"__name__": "__main__"})  # noqa: S102 - of a test
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


def _pass_on(place: str, arguments: Sequence[str]) -> int:
    """Be the launcher."""
    done = run_forked(arguments, cwd=Path.cwd(), place=place)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    if sys.argv[1] == "--to":
        sys.exit(_pass_on(sys.argv[2], sys.argv[3:]))
    _serve(sys.argv[1], sys.argv[2:])
