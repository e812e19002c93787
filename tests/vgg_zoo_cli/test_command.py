"""Options that take several numbers."""

import pytest

from vgg_zoo_cli.command import repeated


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--scales 256 384 photo.jpg", "--scales=256 --scales=384 photo.jpg"),
        ("a.jpg --scales 64 --top 3", "a.jpg --scales=64 --top 3"),
        ("--mean -1 2.5 .x", "--mean=-1 --mean=2.5 .x"),
        ("--scales --top 3", "--scales --top 3"),
        ("--scales=64 96", "--scales=64 96"),
        ("--top 3 4", "--top 3 4"),
        ("--scales 64 -- 96", "--scales=64 -- 96"),
        ("--scales", "--scales"),
    ],
)
def test_numbers_belong_to_the_option_before_them(words: str, expected: str) -> None:
    """Whatever follows that is none ends them; other options take one."""
    assert repeated(words.split(), {"--scales", "--mean"}) == expected.split()
