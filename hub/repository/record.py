"""The record of a publication beside its folder, `FOLDER.published.json`; with it, `lock` needs no network."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hub.repository.address import Address
from hub.repository.files import SUMS, read_json, sums_of, write_json
from vgg_zoo.weights.files import file_digest, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One publication.

    Attributes:
        repository: Id of the repository.
        revision: The commit.
        version: The git tag.
        endpoint: The Hub of the repository.
        sums_sha256: Hash of the folder's SHA256SUMS, which identifies the published content.
        verified: Whether the download was found to have the folder's content.
    """

    repository: str
    revision: str
    version: str
    endpoint: str
    sums_sha256: str
    verified: bool = False

    @classmethod
    def of(cls, folder: Path, address: Address, revision: str, endpoint: str) -> "Record":
        """The record of a folder at a commit; it stays verified if it was verified before."""
        record = cls(
            repository=address.repository,
            revision=revision,
            version=address.version,
            endpoint=endpoint,
            sums_sha256=file_digest(folder / SUMS),
        )
        try:
            known = read_record(folder)
        except ValueError:
            return record
        return known if replace(known, verified=False) == record else record


def record_file(folder: Path) -> Path:
    """Path of a folder's record."""
    return folder.resolve().with_name(f"{folder.resolve().name}.published.json")


def write_record(folder: Path, record: Record) -> None:
    """Write it whole."""
    with whole(record_file(folder)) as writing:
        write_json(writing, asdict(record))


def read_record(folder: Path) -> Record:
    """The record of a folder.

    Raises:
        ValueError: The record is missing, damaged, or of another content of the folder.
    """
    file = record_file(folder)
    if not file.is_file():
        raise ValueError(f"{folder} was not published from here ({file} does not exist); publish it first")
    try:
        record = Record(**read_json(file))
    except TypeError as error:
        raise ValueError(f"{file} is not what `python -m hub publish` writes ({error}); publish again") from error
    if record.sums_sha256 != file_digest(folder / SUMS) or (folder / SUMS).read_text() != sums_of(folder):
        raise ValueError(f"{folder} was changed or built again after it was published; publish it again")
    return record
