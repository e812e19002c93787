"""`lock`: a verified publication becomes a row of timm's table, at its commit and with its hash; no network."""

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import constants

from hub.repository.files import CONFIG, WEIGHTS, address_of, read_object
from hub.repository.record import Record, read_record
from vgg_zoo.entrypoints import OWN_NAMES
from vgg_zoo.weights.files import file_digest
from vgg_zoo.weights.published import LOCK, PublishedNet, read_lock, write_lock

_NOT_OF_THE_NET = ("tag", "hf_hub_id", "source", "file", "url", "custom_load")


def lock(folder: Path, file: Path = LOCK) -> str:
    """Write a published net into the package's lock file, by which `timm.create_model("NET.TAG")` finds it.

    Args:
        folder: A folder that was published and verified from here.
        file: The lock file.

    Returns:
        What was done, in words.

    Raises:
        ValueError: It was not published, not verified, or changed since; it is on another Hub than nets are loaded
            from; or its name is taken.
    """
    record, address = read_record(folder), address_of(folder)
    if not record.verified:
        raise ValueError(f"{folder} was published but not verified; run `python -m hub verify {folder}` first")
    config = read_object(folder / CONFIG, "pretrained_cfg", "num_classes")
    cfg = {key: value for key, value in config["pretrained_cfg"].items() if key not in _NOT_OF_THE_NET}
    nets = read_lock(file)
    _check_name(address.name, record, nets, file)
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
        f"wrote {file}: {address.name} at {record.revision}; commit it, and timm.create_model({address.name!r}) works"
    )


def _check_name(name: str, record: Record, nets: Mapping[str, PublishedNet], file: Path) -> None:
    """Check that the row belongs to one repository, on the Hub that timm uses."""
    if record.endpoint != constants.ENDPOINT:
        raise ValueError(
            f"{name} was published to {record.endpoint}, and nets are loaded from {constants.ENDPOINT}; set HF_ENDPOINT"
        )
    taken = nets[name].repository if name in nets else "the package" if name in OWN_NAMES else record.repository
    if taken != record.repository:
        raise ValueError(f"{name} is a net of {taken} already ({file.name}); publish under another tag")
