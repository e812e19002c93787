"""`vgg-zoo list`: list the nets, their weights by name, and which of them are cached."""

import json
from typing import Any

import click

from vgg_zoo_cli import look
from vgg_zoo_cli.command import Command
from vgg_zoo_cli.options import option


@click.command("list", cls=Command, short_help="List nets, weights, errors, licences, and what is cached.")
@option("--json", "as_json", group="Output", is_flag=True, help="Print JSON, one object for each line of the table.")
def command(as_json: bool) -> None:
    """List the nets and the weights that are available by name.

    Errors are top-1 / top-5 on ILSVRC-2012's validation images, in percent, as reported by their source.
    """
    rows = zoo()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    head = ("name", "configuration", "layers", "parameters", "GMACs at 224", "errors", "licence", "MB", "cached")
    cells = [
        (
            row["name"] or f"{row['net']}, no weights published",
            row["configuration"],
            str(row["layers"]),
            f"{row['parameters']:,}",
            f"{row['gmacs']:.3f}",
            _errors(row),
            row["license"] or "",
            f"{row['bytes'] / 1e6:,.0f}" if row["bytes"] else "",
            {None: "", True: "yes", False: "no"}[row["cached"]],
        )
        for row in rows
    ]
    look.table(head, cells, numbers=("layers", "parameters", "GMACs at 224", "MB"))


def _errors(row: dict[str, Any]) -> str:
    return "" if row["top1_error"] is None else f"{row['top1_error']} / {row['top5_error']}, {row['test']}"


def zoo() -> list[dict[str, Any]]:
    """A row for each set of weights and for each net without weights; of nets that predict boxes, only those with
    weights.

    Returns:
        Plain data: "net", "name" (with its tag; null without weights), "configuration", "layers", "parameters", "gmacs"
        (for one image of 224 pixels), "top1_error", "top5_error", "test", "license", "bytes" (of the file), "cached".
    """
    import timm

    from vgg_zoo.entrypoints import NETS, default_cfgs

    rows = []
    for name, cfg in default_cfgs.items():
        tags = [tag for tag in cfg.tags if cfg.cfgs[tag].has_weights]
        if name not in NETS and not tags:
            continue
        about = _about(timm.create_model(name, device="meta"))
        rows += [{"net": name, **about, **_weights(f"{name}.{tag}", about["parameters"])} for tag in tags]
        if not tags:
            rows.append({"net": name, **about, **dict.fromkeys(_OF_WEIGHTS)})
    return [{key: row[key] for key in ("net", "name", *_OF_NET, *_OF_WEIGHTS[1:])} for row in rows]


_OF_NET = ("configuration", "layers", "parameters", "gmacs")
_OF_WEIGHTS = ("name", "top1_error", "top5_error", "test", "license", "bytes", "cached")


def _about(net: Any) -> dict[str, Any]:
    macs = net.configuration.multiply_adds(classes=net.head.fc.out_features)
    values = (net.configuration.name, net.configuration.weight_layers, sum(p.numel() for p in net.parameters()))
    return dict(zip(_OF_NET, (*values, round(macs / 1e9, 3)), strict=True))


def _weights(name: str, parameters: int) -> dict[str, Any]:
    from timm.models import get_pretrained_cfg

    from vgg_zoo.entrypoints import REPORTED
    from vgg_zoo.weights.needed import needed_file

    needed, cfg, reported = needed_file(name), get_pretrained_cfg(name), REPORTED.get(name)
    assert cfg is not None
    size = needed.size if needed and needed.size else 4 * parameters  # float32, and a header of some kilobytes
    errors = tuple(reported) if reported else (None, None, None)
    cached = needed is not None and needed.cached is not None
    return dict(zip(_OF_WEIGHTS, (name, *errors, cfg.license, size, cached), strict=True))
