"""What OpenVINO's process holds at most that runs a dense net at its defaults: it has no PyTorch, as users need none.

python -m benchmarks.openvino_memory FILE SIDE BATCH
"""

import json
import sys

import numpy as np
import openvino

from benchmarks.memory import peak_memory


def main() -> None:
    """Print it, in GB."""
    file, side, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    core = openvino.Core()
    model = core.read_model(file)
    model.reshape([batch, 3, side, side])
    compiled = core.compile_model(model, "CPU")
    for _ in range(3):
        compiled([np.zeros((batch, 3, side, side), np.float32)])
    print(json.dumps(peak_memory()))


if __name__ == "__main__":
    main()
