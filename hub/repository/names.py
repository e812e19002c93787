"""What the command line knows without importing anything; a test compares the names of files with what decides."""

from importlib.util import find_spec
from pathlib import Path

from command_line.values import check_new

LICENCES = (
    "apache-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-sa-4.0",
    "mit",
)
"""What weights are published under here, by the Hub's names."""

SUMS = "SHA256SUMS"
"""The list of a built folder's files with their hashes, by which such a folder is known."""

OF_A_NET = ("config.json", "model.safetensors")
"""What the folder of a trained net holds."""

RESULTS = "results.json"
"""What the --output of a test holds."""

BUILDS = Path("runs/hub")
"""Where folders are built, unless another place is named."""


def package_lock() -> Path:
    """The package's lock file, `vgg_zoo.weights.published.LOCK`; finding it does not import the package."""
    package = find_spec("vgg_zoo")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "weights" / "published.json"


def check_output(output: Path, overwrite: bool) -> None:
    """A folder may be built there.

    Args:
        output: Of `build`.
        overwrite: It may hold an older build, but nothing else.

    Raises:
        ValueError: It holds something.
    """
    if output.exists() and not (output / SUMS).is_file():
        raise ValueError(f"--output {output} is there and was not built by this command; name another folder")
    check_new([output], overwrite)
