"""Downloading a large file from a plain web server; a download resumes after an interruption and is checked."""

import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.utils import WeakFileLock, tqdm

from vgg_zoo.weights.files import FullDiskError, file_digest, naming_full_disk

ATTEMPTS = 5
"""Number of connections before an error; each resumes where the last one broke."""

PAUSE = 1.0
"""Seconds by which the wait grows before each further attempt."""

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file whose hash is known before the download.

    Attributes:
        url: An http or https URL.
        size: Size in bytes.
        digest: "sha256:..." or "sha1:...", in hexadecimal.
    """

    url: str
    size: int
    digest: str

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    def check(self, path: Path) -> None:
        """Compare size and hash of a file with the expected values.

        Raises:
            ValueError: It is missing, truncated or altered.
        """
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        size = path.stat().st_size
        if size != self.size:
            raise ValueError(
                f"{path} has {size:,} bytes, but {self.name} has {self.size:,}: truncated, or another file"
            )
        kind, _, expected = self.digest.partition(":")
        found = file_digest(path, kind)
        if found != expected:
            raise ValueError(
                f"{path} is altered, or another file: its {kind} is {found}, but that of {self.name} is {expected}"
            )


def download(remote: RemoteFile, target: Path, timeout: float = 60.0) -> None:
    """Download a file with a progress bar, check it, and only then rename it to its final name.

    An incomplete download stays beside the target as "NAME.incomplete", and the next call resumes it. Processes that
    need the same file wait for each other.

    Args:
        remote: The remote file.
        target: The file to write; its folder is created. An existing file is not changed.
        timeout: Seconds without a byte after which a connection is given up.

    Raises:
        ValueError: The server cannot be reached, or does not have this file; the message says what is wrong. `target`
            does not exist then.
    """
    if not remote.url.startswith(("http://", "https://")):
        raise ValueError(f"can only download from http and https; got {remote.url!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(target.with_name(f"{target.name}.lock")):
        if target.exists():
            return
        part = target.with_name(f"{target.name}.incomplete")
        with tqdm(total=remote.size, unit="B", unit_scale=True, desc=remote.name) as bar:
            _fetch(remote, part, timeout, bar)
        try:
            remote.check(part)
        except ValueError as error:
            part.unlink()
            raise ValueError(f"{remote.url} did not give the file that was published: {error}") from error
        part.replace(target)


def _fetch(remote: RemoteFile, part: Path, timeout: float, bar: Any) -> None:
    """Extend the incomplete file to its full size, over several connections if needed."""
    reason: object = None
    for attempt in range(ATTEMPTS):
        time.sleep(attempt * PAUSE)
        present = part.stat().st_size if part.exists() else 0
        if present > remote.size:
            part.unlink()
            present = 0
        if present == remote.size:
            return
        reason = "the connection ended early"
        try:
            _receive(remote, part, present, timeout, bar)
        except FullDiskError:
            raise
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            reason = error
    present = part.stat().st_size if part.exists() else 0
    if present != remote.size:
        raise ValueError(
            f"cannot download {remote.url}: {reason}; {present:,} of {remote.size:,} bytes are there. The same call "
            f"resumes the download. Put a file downloaded by other means at {part.with_suffix('')}"
        )


def _receive(remote: RemoteFile, part: Path, present: int, timeout: float, bar: Any) -> None:
    """Append the bytes of one connection; start from the beginning if the server does not support ranges."""
    headers = {"User-Agent": "vgg_zoo", "Accept-Encoding": "identity"}
    if present:
        headers["Range"] = f"bytes={present}-"
    request = urllib.request.Request(remote.url, headers=headers)  # noqa: S310 (download checks the scheme)
    try:
        response = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # "range not satisfiable": the server's file is shorter than the incomplete one
            part.unlink(missing_ok=True)
        if error.code < 500 and error.code not in (408, 416, 429):
            raise ValueError(f"{remote.url}: the server says {error.code} {error.reason}") from error
        raise
    with response:
        start = _start(response, present)
        _check_length(remote, response, start)
        with naming_full_disk(part), part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            bar.update(start - bar.n)
            while block := response.read(_BLOCK):
                if file.tell() + len(block) > remote.size:
                    file.close()
                    part.unlink()
                    raise ValueError(f"{remote.url} sends more than the {remote.size:,} bytes of the published file")
                file.write(block)
                bar.update(file.tell() - bar.n)


def _start(response: Any, present: int) -> int:
    """The position in the file at which the answer begins."""
    if response.status != 206:
        return 0
    given = response.headers.get("Content-Range", "")
    if not given.startswith(f"bytes {present}-"):
        raise ValueError(f"asked for the bytes from {present}, the server answers with {given!r}")
    return present


def _check_length(remote: RemoteFile, response: Any, start: int) -> None:
    length = response.headers.get("Content-Length")
    if length is not None and length.isdecimal() and start + int(length) != remote.size:
        raise ValueError(
            f"{remote.url} offers a file of {start + int(length):,} bytes; the published one has {remote.size:,}"
        )
