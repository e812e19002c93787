"""`lock`: a verified publication becomes a row of timm's table, at its commit and with its hash; no network."""

from pathlib import Path

from hub.files import CONFIG, WEIGHTS, address_of, read_json
from hub.record import read_record
from vgg_zoo.weights.hashing import file_digest
from vgg_zoo.weights.published import LOCK, PublishedNet, read_lock, write_lock

_NOT_OF_THE_NET = ("tag", "hf_hub_id", "source", "file", "url", "custom_load")


def lock(folder: Path, file: Path = LOCK) -> str:
    """Write a published net into the package's lock file, by which `timm.create_model("NET.TAG")` finds it.

    Args:
        folder: That was published and verified from here.
        file: The lock file.

    Returns:
        What was done, in words.

    Raises:
        ValueError: Not published, not verified, or built anew since.
    """
    record, address = read_record(folder), address_of(folder)
    if not record.verified:
        raise ValueError(f"{folder} was published but not verified; run `python -m hub verify {folder}` first")
    config = read_json(folder / CONFIG)
    cfg = {key: value for key, value in config["pretrained_cfg"].items() if key not in _NOT_OF_THE_NET}
    nets = read_lock(file)
    net = PublishedNet(
        repository=record.repository,
        revision=record.revision,
        sha256=file_digest(folder / WEIGHTS),
        size=(folder / WEIGHTS).stat().st_size,
        model_args=config.get("model_args", {}),
        pretrained_cfg={**cfg, "num_classes": config["num_classes"], "label_names": config.get("label_names")},
    )
    if nets.get(address.name) == net:
        return f"{file.name} has {address.name} already"
    write_lock({**nets, address.name: net}, file)
    return (
        f"{file.name} has {address.name} at {record.revision}; commit it, and timm.create_model({address.name!r}) works"
    )
