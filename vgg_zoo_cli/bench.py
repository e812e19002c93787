"""`vgg-zoo bench`: how fast this machine runs a net, compared with other installed runtimes."""

import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from vgg_zoo_cli import look
from vgg_zoo_cli.command import Command
from vgg_zoo_cli.names import NETS
from vgg_zoo_cli.options import option

Forward = Callable[[], Any]
"""A pass over fixed images; returns a tensor of scores, (B, classes)."""

TIMMS = {"vgg_a": "vgg11", "vgg_b": "vgg13", "vgg_d": "vgg16", "vgg_e": "vgg19"}
CLOSE = 1e-3
"""Allowed difference from the plain net's scores, relative to the largest score."""

ROUNDS = 3
"""For which time is kept before another way is prepared."""

PREPARING = {"timm": 1.3, "ONNX Runtime": 6.0, "OpenVINO": 7.0}
"""What preparing a way takes at the most, in times of making the plain net and running it once."""


@dataclass
class Budget:
    """Seconds for the whole command, from now on."""

    seconds: float
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        self._begin = self.clock()

    @property
    def left(self) -> float:
        """Seconds; below 0 after their end."""
        return self.seconds - (self.clock() - self._begin)


@click.command("bench", cls=Command, short_help="How fast this machine runs a net.")
@option(
    "--architecture",
    group="Net",
    type=click.Choice(NETS),
    default="vgg_d",
    help="A net of the zoo; its weights are random.",
)
@option(
    "--side", group="Test", type=click.IntRange(224, 4096), default=224, metavar="PIXELS", help="Side of the images."
)
@option("--batch", group="Test", type=click.IntRange(1, 4096), default=1, metavar="N", help="Images in a pass.")
@option(
    "--seconds",
    group="Test",
    type=click.FloatRange(1, 3600),
    default=30.0,
    metavar="S",
    help="Time for the whole command, preparation included; it skips runtimes that it leaves no time for.",
)
@option("--json", "as_json", group="Output", is_flag=True, help="Print JSON.")
def command(architecture: str, side: int, batch: int, seconds: float, as_json: bool) -> int:
    """Measure how fast this machine's CPU runs a net, with ours and other installed runtimes.

    All have the same random weights in float32 and the same number of threads. They take turns, and the figures are
    medians of warm rounds. Scores are compared before they are timed. Missing runtimes are named. The figures hold only
    for this machine under its present load.
    """
    budget = Budget(seconds)
    import torch

    from vgg_zoo.devices import cpu_name

    look.title("bench", architecture, f"{batch} × {side} × {side}", f"{cpu_name()}, {torch.get_num_threads()} threads")
    with torch.inference_mode(), _prepared(architecture, side, batch, budget) as (forwards, missing):
        times = _in_turn(forwards, budget)
    ours = statistics.median(times["vgg_zoo"])
    rows = [_row(name, found, ours, batch) for name, found in times.items()]
    if as_json:
        click.echo(json.dumps({"net": architecture, "side": side, "batch": batch, "rows": rows, "missing": missing}))
    else:
        head = ("runs", "ms", "images/s", "× vgg_zoo", "rounds")
        cells = [
            (
                row["runs"],
                f"{row['ms']:.1f}",
                f"{row['images_per_second']:.1f}",
                f"{row['ratio']:.2f}",
                str(row["rounds"]),
            )
            for row in rows
        ]
        look.table(head, cells, numbers=head[1:])
    for name, why in missing.items():
        look.note(f"{name} is skipped: {why}")
    if (rounds := len(times["vgg_zoo"])) < ROUNDS:
        look.note(f"{rounds} round(s) of the {ROUNDS} that a median should be of; give more --seconds than {seconds:g}")
    look.note("These figures hold for this machine under its present load; benchmarks/ has measured others")
    return 0


def _row(name: str, seconds: Sequence[float], ours: float, batch: int) -> dict[str, Any]:
    median = statistics.median(seconds)
    figures = {"ms": median * 1e3, "images_per_second": batch / median, "ratio": median / ours}
    return {"runs": name, **figures, "rounds": len(seconds)}


def _in_turn(forwards: Mapping[str, Forward], budget: Budget) -> dict[str, list[float]]:
    """Seconds of each runtime, round by round, so that a slow spell of the machine affects all; at least one round.

    No round begins for which the longest one so far leaves no time.
    """
    times: dict[str, list[float]] = {name: [] for name in forwards}
    longest = 0.0
    while longest == 0 or budget.left > longest:
        begin = budget.left
        for name, forward in forwards.items():
            start = budget.left
            forward()
            times[name].append(start - budget.left)
        longest = max(longest, begin - budget.left)
    return times


@contextmanager
def _prepared(
    architecture: str, side: int, batch: int, budget: Budget
) -> Iterator[tuple[dict[str, Forward], dict[str, str]]]:
    """Every runtime that works here and that there is time for; and why each other one is skipped."""
    import timm
    import torch

    import vgg_zoo

    torch.manual_seed(0)
    begin = budget.left
    net: Any = timm.create_model(architecture).eval()
    images = torch.randn(batch, 3, side, side)
    made = budget.left
    expected = net(images)
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[], Forward]] = {
            "vgg_zoo": lambda: _module(vgg_zoo.fast_inference(net), images),
            "vgg_zoo, the plain net": lambda: _module(net, images),
            "timm": lambda: _timms(architecture, net, images),
            "ONNX Runtime": lambda: _onnx_runtime(net, images, Path(folder)),
            "OpenVINO": lambda: _openvino(net, images),
        }
        yield _in_time(ways, expected, budget, begin - budget.left, made - budget.left)


def _in_time(
    ways: Mapping[str, Callable[[], Forward]], expected: Any, budget: Budget, prepared: float, run: float
) -> tuple[dict[str, Forward], dict[str, str]]:
    """Prepare each way for which there is time, ours in any case, and check it against the plain net.

    Args:
        ways: By name.
        expected: Scores of the plain net.
        budget: Of the command.
        prepared: Seconds that the plain net took, and its first pass.
        run: Seconds of that pass.

    Returns:
        Ways that work, warm; and why each other one is left out.
    """
    from vgg_zoo.extras import install

    forwards: dict[str, Forward] = {}
    missing: dict[str, str] = {}
    for name, way in ways.items():
        needed = PREPARING.get(name, 0) * prepared + ROUNDS * (len(forwards) + 1) * run
        if name in PREPARING and budget.left < needed:
            left = f"{max(0.0, budget.left):.0f} s of --seconds {budget.seconds:g} are left"
            missing[name] = f"{left}, and it may need {needed:.0f}"
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # exporters warn about their own deprecations
                forwards[name] = _checked(way(), expected)
        except ImportError as error:
            missing[name] = f"it needs {error.name}: {install('benchmarks')}"
        # Other libraries' compilers raise whatever they like; one that fails must not hide the others' figures.
        except Exception as error:
            if name.startswith("vgg_zoo"):
                raise
            missing[name] = " ".join(str(error).split())[:200] or type(error).__name__
    return forwards, missing


def _checked(forward: Forward, expected: Any) -> Forward:
    """The pass after a first run.

    Raises:
        ValueError: Its scores differ from the plain net's.
    """
    difference = float((forward() - expected).abs().max() / expected.abs().max())
    if not difference <= CLOSE:
        raise ValueError(f"its scores differ by {difference:.1%} from the plain net's")
    return forward


def _module(net: Any, images: Any) -> Forward:
    return lambda: net(images)


def _timms(architecture: str, net: Any, images: Any) -> Forward:
    import timm

    if architecture not in TIMMS:
        raise ValueError(f"it has no such net, only {', '.join(TIMMS)}")
    theirs = timm.create_model(TIMMS[architecture], device="meta").eval()  # random weights would take longer
    theirs.load_state_dict(net.state_dict(), assign=True)
    return _module(theirs, images)


def _onnx_runtime(net: Any, images: Any, folder: Path) -> Forward:
    import onnxruntime
    import torch

    file = folder / "net.onnx"
    torch.onnx.export(net, (images,), file, input_names=["images"], output_names=["scores"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.add_session_config_entry("session.force_spinning_stop", "1")  # spares the next runtime's time
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    given = {"images": images.numpy()}
    return lambda: torch.from_numpy(session.run(["scores"], given)[0])


def _openvino(net: Any, images: Any) -> Forward:
    import openvino
    import torch

    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",  # otherwise it uses bfloat16 if the processor supports it
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = openvino.convert_model(net, example_input=images)
    model.reshape(list(images.shape))
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    given = images.numpy()
    return lambda: torch.from_numpy(compiled([given])[0])
