"""`python -m vgg_zoo`: the zoo's nets, what they weigh, and the weights that can be had by name."""

import timm

from . import box_entrypoints, entrypoints
from .model import VGG


def zoo_table() -> str:
    """A line for each net: its name, configuration, weight layers, parameters, multiply-adds at 224 and tags.

    Of the nets that predict boxes, which differ from the others in their last layer only, those with weights.
    """
    rows = [("net", "configuration", "layers", "parameters", "GMACs at 224", "weights")]
    boxes = {name: cfg for name, cfg in box_entrypoints.default_cfgs.items() if cfg.default.has_weights}
    for name, cfg in {**entrypoints.default_cfgs, **boxes}.items():
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
    right = (False, False, True, True, True, False)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    )


def main() -> None:
    """Print the table."""
    print(zoo_table())


if __name__ == "__main__":
    main()
