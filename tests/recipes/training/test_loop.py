"""The training loop in this process: its moving average, and what its checkpoints hold."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from recipes import train
from recipes.data.splits import load_splits
from recipes.evaluation import error_rates
from recipes.evaluation.error_rates import posteriors
from recipes.runtime.signals import STOP, StoppedError
from recipes.runtime.work import begin_processes
from recipes.training.beginning import random_net
from recipes.training.checkpoint import Checkpoints, load_checkpoint
from recipes.training.loop import Training
from recipes.training.objective import Splits
from recipes.training.run_folder import RunFolder
from recipes.training.setup import assemble
from tests.recipes import tiny
from tests.recipes.commands import TINY
from vgg_zoo.images.preprocessing import IMAGENET_COLOURS
from vgg_zoo.weights.files import FullDiskError

Make = Callable[..., Training]


@pytest.fixture(scope="module")
def digits() -> Splits:
    """16 to train on and 16 to test on."""
    return Splits(*(replace(split, rows=split.rows.select(range(16))) for split in load_splits("digits")))


@pytest.fixture
def make(digits: Splits, tmp_path: Path) -> Make:
    """Put a run together as the command does: two epochs of two steps on 16 digits, with a moving average."""
    words = ["--recipe", TINY, "--data", "digits", "--checkpoint-every", "1", "--keep-last", "9"]
    recipe = replace(tiny.recipe(), batch_size=8, epochs=2, ema_decay=0.5)

    def made(name: str, *more: str) -> Training:
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir()
        options = train.parse([*words, "--output", str(folder.path), *more])
        accelerator = begin_processes(options)
        net = random_net(recipe, 10)
        return assemble(recipe, options, digits, net, IMAGENET_COLOURS, folder, accelerator)

    return made


def weights(net: Any) -> torch.Tensor:
    """All of a net's weights as one vector."""
    return torch.cat([value.flatten() for value in net.state_dict().values()])


def always(net: Any, label: int) -> None:
    """Let a net answer with one class, whatever it sees."""
    with torch.no_grad():
        net.head.fc.weight.zero_()
        net.head.fc.bias.zero_()
        net.head.fc.bias[label] = 1


def test_a_resumed_run_has_the_average_of_one_that_was_not_stopped(make: Make) -> None:
    """From within an epoch and from its end, bit for bit; the average is not the weights."""
    whole = make("whole")
    whole.train()
    assert not torch.equal(weights(whole.learner.average), weights(whole.learner.net))
    for checkpoint in ("step-00000002", "step-00000003"):
        resumed = make(checkpoint)
        resumed.restore(load_checkpoint(whole.checkpoints.folder / checkpoint))
        resumed.train()
        assert torch.equal(weights(resumed.learner.net), weights(whole.learner.net))
        assert torch.equal(weights(resumed.learner.average), weights(whole.learner.average))


def test_the_average_is_what_is_tested(make: Make) -> None:
    """One that always says 3 is right for the threes alone, whatever the weights themselves say."""
    training = make("run")
    always(training.learner.net, 5)
    always(training.learner.average, 3)
    labels = [training.validation.label(index) for index in range(16)]
    assert labels.count(3) != labels.count(5)
    for protocol in training.objective.protocols():
        assert training.test(protocol)["top1"] == 1 - labels.count(3) / 16


def test_only_checkpoints_between_epochs_have_an_error(make: Make) -> None:
    """That of the epoch that has just ended; of weights within an epoch none is known."""
    training = make("run")
    training.train()
    folder = training.checkpoints.folder
    errors = [load_checkpoint(folder / f"step-{step:08}").state["error"] for step in (1, 2, 3, 4)]
    first, second = (row["top1_error"] for row in training.rows)
    assert errors == [None, first, None, second]


@pytest.mark.parametrize("validation", [1, 2])
def test_a_signal_during_a_validation_stops_the_run_and_loses_nothing(
    validation: int, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the batch that is tested; the run resumes with that validation, be it the last one, and ends the same."""
    whole, stopped = make("whole"), make("stopped")
    whole.train()
    calls = []

    def signalled(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == validation:
            os.kill(os.getpid(), signal.SIGUSR1)
        return posteriors(*arguments)

    monkeypatch.setattr(error_rates, "posteriors", signalled)
    with (
        STOP.heeded(),
        STOP.deferred(),
        pytest.raises(StoppedError, match=f"stopped at step {2 * validation}") as found,
    ):
        stopped.train()
    assert found.value.code == 143
    resumed = make("resumed")
    checkpoint = stopped.checkpoints.latest()
    assert checkpoint is not None
    assert checkpoint.state["consumed"] == 2
    resumed.restore(checkpoint)
    with STOP.heeded():  # forgets the signal
        resumed.train()
    assert torch.equal(weights(resumed.learner.net), weights(whole.learner.net))
    assert resumed.rows == whole.rows


def test_a_checkpoint_is_of_its_moment_and_written_while_the_training_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes the first one only after the second step is over, and the file has the weights of the first."""
    whole, training = make("whole"), make("run")
    whole.train()
    save, step, second_is_over = Checkpoints.save, training.learner.step, Event()

    def slow(checkpoints: Checkpoints, number: int, *arguments: Any) -> None:
        if number == 1:
            assert second_is_over.wait(60)
        save(checkpoints, number, *arguments)

    def steps(number: int, batch: Any) -> torch.Tensor:
        loss = step(number, batch)
        if number == 1:
            second_is_over.set()
        return loss

    monkeypatch.setattr(Checkpoints, "save", slow)
    monkeypatch.setattr(training.learner, "step", steps)
    training.train()
    for number in range(1, 5):
        folders = [each.checkpoints.folder / f"step-{number:08}" for each in (whole, training)]
        one, other = (load_checkpoint(folder).state["sha256"] for folder in folders)
        assert one == other


def test_checkpoints_come_after_minutes_too(make: Make) -> None:
    """Whichever is first; here no number of steps is."""
    training = make("run", "--checkpoint-every", "1000", "--checkpoint-minutes", "1e-9")
    training.train()
    assert [path.name[-1] for path in sorted(training.checkpoints.folder.iterdir())] == ["1", "2", "3", "4"]


def test_an_error_while_a_checkpoint_is_written_ends_the_training(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own words; it is not lost in the thread that writes."""

    def broken(*_: Any) -> None:
        raise FullDiskError("the disk of step-00000001 is full")

    training = make("run")
    monkeypatch.setattr(Checkpoints, "save", broken)
    with pytest.raises(FullDiskError, match="step-00000001 is full"):
        training.train()
