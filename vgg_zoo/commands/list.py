"""`vgg-zoo list`: the nets, what they weigh, and the weights that can be had by name."""

import argparse
from collections.abc import Sequence

import timm

from vgg_zoo.entrypoints import NETS, default_cfgs
from vgg_zoo.model import VGG


def zoo_table() -> str:
    """A line for each net: its name, configuration, weight layers, parameters, multiply-adds at 224 and tags.

    Of the nets that predict boxes, which differ from the others in their last layer only, those with weights.
    """
    rows = [("net", "configuration", "layers", "parameters", "GMACs at 224", "weights")]
    for name, cfg in default_cfgs.items():
        if name not in NETS and not cfg.default.has_weights:
            continue
        net = timm.create_model(name, device="meta")
        assert isinstance(net, VGG)
        tags = [f"{name}.{tag}" for tag in cfg.tags if cfg.cfgs[tag].has_weights]
        rows.append(
            (
                name,
                net.configuration.name,
                str(net.configuration.weight_layers),
                f"{sum(p.numel() for p in net.parameters()):,}",
                f"{net.configuration.multiply_adds(classes=net.head.fc.out_features) / 1e9:.3f}",
                ", ".join(tags) or "none published",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, "<<>>><", widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    argparse.ArgumentParser(prog="vgg-zoo list", description=__doc__).parse_args(arguments)
    print(zoo_table())
    return 0
