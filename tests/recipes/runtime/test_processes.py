"""How many processes a launcher was asked for."""

import pytest

from recipes.runtime.processes import processes_asked_for


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("accelerate launch --cpu --num_processes 2 recipes/train.py", 2),
        ("accelerate launch --num_processes=4 recipes/train.py", 4),
        ("accelerate launch --num-processes 3 recipes/train.py", 3),
        ("accelerate launch recipes/train.py --recipe x", None),
        ("bash", None),
        ("accelerate launch --num_processes", None),
        ("accelerate launch --num_processes two recipes/train.py", None),
    ],
)
def test_the_number_is_read_from_the_launchers_command(command: str, asked: int | None) -> None:
    """In all the ways in which it can be written."""
    assert processes_asked_for(command.split()) == asked
