"""The contents of large files, by their sha256: in a folder, and in the store that hf_xet keeps beside it."""

import os
import struct
import subprocess
import sys
import time
import uuid
from hashlib import sha256 as sha256_of
from pathlib import Path

from tests.hub.local_hub.answers import HubError
from tests.hub.local_hub.stored import Large
from vgg_zoo.weights.files import file_digest

TAKE = """import sys, hf_xet
group = hf_xet.XetSession().new_file_download_group(endpoint=sys.argv[1])
with group:
    group.start_download_file(hf_xet.XetFileInfo(sys.argv[2], int(sys.argv[3])), sys.argv[4])
"""


class Blobs:
    """A folder of large files.

    Args:
        folder: Made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        for name in ("blobs", "arriving", "xet"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def xet_store(self) -> str:
        """The address under which hf_xet reads and writes a store of its own."""
        return f"local://{self.folder / 'xet'}"

    def path(self, sha256: str) -> Path:
        """Where a content is, or would be."""
        return self.folder / "blobs" / sha256

    def arriving(self) -> Path:
        """Where something is until all of it is here."""
        return self.folder / "arriving" / uuid.uuid4().hex

    def put(self, content: bytes) -> Large:
        """Keep a content."""
        found = Large(sha256_of(content).hexdigest(), len(content))
        self.path(found.sha256).write_bytes(content)
        return found

    def has(self, sha256: str, size: int) -> bool:
        """Whether a content is here, and of that size."""
        return self.path(sha256).exists() and self.path(sha256).stat().st_size == size

    def uploaded(self, path: str, sha256: str, size: int) -> Large:
        """A large file of which a commit names the hash; from xet's store if it is not here.

        Raises:
            HubError: It was not uploaded.
        """
        xet_hash = xet_hashes(self.folder / "xet").get(sha256)
        if not self.path(sha256).exists() and xet_hash:
            self._take_from_xet(sha256, xet_hash, size)
        if not self.has(sha256, size):
            reason = "Your push was rejected because an LFS pointer pointed to a file that does not exist."
            raise HubError(400, f"{reason} Offending file: - {path}")
        return Large(sha256, size, xet_hash)

    def _take_from_xet(self, sha256: str, xet_hash: str, size: int) -> None:
        """In a process of its own: only one may open the store, and hf_xet holds it as long as its objects live."""
        file = self.arriving()
        line = [sys.executable, "-c", TAKE, self.xet_store, xet_hash, str(size), str(file)]
        environ = os.environ | {"HF_HOME": str(self.folder / "home")}
        for _ in range(50):
            done = subprocess.run(line, env=environ, capture_output=True, text=True, check=False)
            if "already open" not in done.stderr:
                break
            time.sleep(0.1)
        if done.returncode:
            raise RuntimeError(done.stderr)
        if file_digest(file) != sha256:
            raise HubError(400, f"the content in xet's store is not that of sha256 {sha256}")
        file.replace(self.path(sha256))


def xet_hashes(store: Path) -> dict[str, str]:
    """sha256 → xet's hash of all files in hf_xet's local store, out of its shards: nobody tells the Hub otherwise."""

    def text(raw: bytes) -> str:
        return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))

    found = {}
    for file in store.glob("xet/xorbs/shards/*.mdb"):
        shard, place = file.read_bytes(), 48
        while (name := shard[place : place + 32]) != b"\xff" * 32:
            flags, entries = struct.unpack_from("<II", shard, place + 32)
            place += 48 * (1 + entries * (2 if flags & 1 << 31 else 1))
            if flags & 1 << 30:
                found[text(shard[place : place + 32])] = text(name)
                place += 48
    return found
