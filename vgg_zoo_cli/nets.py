"""Loading a net for a command, on its device, with errors in one line."""

from collections.abc import Sequence
from typing import Any

import click

from vgg_zoo_cli.command import typed_wrong


def load(source: str, device: str) -> Any:
    """A net with its weights.

    Args:
        source: A name, or a folder.
        device: "auto", "cpu" or "cuda".

    Raises:
        click.UsageError: The net, the weights or the device do not exist. click.ClickException: The weights are not
        available; the message has the file, its place in the cache, and what works instead.
        ValueError: The weights are damaged.
    """
    import torch

    from vgg_zoo.pretrained import check_source, pretrained_net

    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("--device cuda: PyTorch sees no GPU here; give --device cpu, or leave it out")
    where = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    try:
        with typed_wrong():
            check_source(source)
        return pretrained_net(source).to(where)
    except OSError as error:
        raise click.ClickException(out_of_reach(source, error)) from error


def out_of_reach(source: str, error: OSError) -> str:
    """The message for missing weights: the file, its place in the cache, and what works instead."""
    from huggingface_hub import constants

    from vgg_zoo.weights.needed import needed_file

    needed = needed_file(source)
    if needed is None or needed.cached is not None:
        return f"{source} cannot be loaded: {error}"
    offline = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"the network does not help ({error})"
    return (
        f"{source} needs {needed.file} of {needed.origin}{needed.in_words}, which is not in the cache, and {offline}. "
        f"It would be kept at {needed.place}. What works without a network: the folder of a net (--model FOLDER), or "
        "a name that is cached (`vgg-zoo list` shows which)"
    )


def described(net: Any, scales: Sequence[int], *more: str) -> str:
    """A net in a line: its architecture, device, Q, and other details."""
    name = str(net.pretrained_cfg.get("architecture", type(net).__name__))
    where = f"on {next(net.parameters()).device.type}"
    return ", ".join([f"{name} {where}", *more, f"Q = {' '.join(map(str, scales))}"])
