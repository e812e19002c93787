"""Processes that wait for each other for as long as they really work, and end together."""

from pathlib import Path

import pytest

from tests.forked import ROOT, run_ranks
from tests.recipes.commands import ENVIRONMENT

SCRIPT = """
import os, signal, sys, time
from recipes.runtime import patience, processes
from recipes.runtime.command import command
from recipes.runtime.processes import from_main, main_first, make_accelerator, together
patience.BEAT, patience.MOST_SILENCE, patience.SAID_AFTER = 0.05, {silence}, 0.2
processes._PATIENCE = processes.timedelta(seconds={timeout})
def run(args):
    accelerator = make_accelerator()
    rank = accelerator.process_index
    {body}
    os.write(1, f"{{rank}} came to the end\\n".encode())
    accelerator.end_training()
sys.exit(command(run, lambda arguments: None)())
"""


def ranks(tmp_path: Path, body: str, count: int = 2, silence: float = 30, timeout: float = 60) -> tuple[int, str, str]:
    """Run these lines in processes of one job; their greatest exit code, and what they said."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(body=body.replace("\n", "\n    "), silence=silence, timeout=timeout))
    done = run_ranks([script], count, environment={**ENVIRONMENT, "PYTHONPATH": str(ROOT)})
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_work_may_take_longer_than_a_collective(tmp_path: Path) -> None:
    """Five seconds where a collective waits for three; the process that waits says for whom and for what."""
    work = "x = from_main(accelerator, lambda: time.sleep(5) or 7, 'counting sheep'); assert x == 7"
    code, out, err = ranks(tmp_path, work, timeout=3)
    assert code == 0, err
    assert sorted(out.split("\n")) == ["", "0 came to the end", "1 came to the end"]
    assert err.count("process 1 waits for process 0, which is counting sheep") == 1


@pytest.mark.slow
def test_each_may_be_the_last(tmp_path: Path) -> None:
    """The second process works longer than a collective would wait for it."""
    work = "assert together(accelerator, lambda: time.sleep(5 * rank) or rank, 'reading') == rank"
    code, _, err = ranks(tmp_path, work, timeout=3)
    assert code == 0, err
    assert err.count("process 0 waits for process 1, which is reading") == 1


@pytest.mark.slow
@pytest.mark.parametrize("what", ["'reading'", "None"])
def test_an_error_of_any_process_ends_all_with_its_words(what: str, tmp_path: Path) -> None:
    """Said once on a machine, whether the others are waited for with patience or not."""
    work = "def part():\n    if rank == 1: raise ValueError('process 1 has no hands')\n"
    code, out, err = ranks(tmp_path, work + f"together(accelerator, part, {what})")
    assert code == 1
    assert "came to the end" not in out
    assert err.count("error: process 1 has no hands") == 1
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_process_that_gives_no_sign_of_life_is_given_up(tmp_path: Path) -> None:
    """Though it is there: it was stopped, as a machine that hangs."""
    work = (
        "if rank == 1 and os.fork() == 0:\n"
        "    time.sleep(4); os.kill(os.getppid(), signal.SIGCONT); os._exit(0)\n"
        "together(accelerator, lambda: rank and os.kill(os.getpid(), signal.SIGSTOP), 'counting sheep')"
    )
    code, _, err = ranks(tmp_path, work, silence=1)
    assert code != 0
    assert "error: process 1 gave no sign of life for 1 s while it was counting sheep; give the same" in err


@pytest.mark.slow
def test_the_main_process_goes_first(tmp_path: Path) -> None:
    """And the others find what it left."""
    file = tmp_path / "fetched"
    work = (
        f"from pathlib import Path\nfile = Path({str(file)!r})\n"
        "def fetch():\n    if rank == 0: time.sleep(0.5); file.write_text('by 0')\n    return file.read_text()\n"
        "assert main_first(accelerator, fetch, 'fetching') == 'by 0'"
    )
    code, out, err = ranks(tmp_path, work, count=3)
    assert code == 0, err
    assert out.count("came to the end") == 3


@pytest.mark.slow
def test_a_test_stops_in_all_processes_after_the_same_batch(tmp_path: Path) -> None:
    """Of which they have unequally many; the signal comes to one of them, that which has the fewest."""
    work = (
        "from recipes.evaluation.error_rates import in_step\nfrom recipes.runtime.signals import STOP\n"
        "with STOP.deferred():\n"
        "    assert len(list(in_step(accelerator, iter([[x] for x in range(5 * rank)])))) == 5 * rank\n"
        "    for batch in in_step(accelerator, iter([[x] for x in range(9 if rank else 2)])):\n"
        "        os.write(1, f'{rank} saw {batch}\\n'.encode())\n"  # in one piece: three processes write to one file
        "        if (rank, batch) == (0, [1]): os.kill(os.getpid(), signal.SIGINT)"
    )
    code, out, err = ranks(tmp_path, work, count=3)
    assert code == 130
    seen = [f"{rank} saw [{batch}]" for rank in range(3) for batch in range(2)]
    assert sorted(out.splitlines()) == seen
    assert err.count("stopped; the same command resumes") == 3
