"""What one fresh process needs to import, and to make or load one net. Run by `benchmarks.startup`.

    python -m benchmarks.fresh_process NET [FILE]

Nothing is imported above that the table measures. Prints seconds and GB as JSON.
"""

import json
import sys
import time
from typing import Any

from benchmarks.memory import peak_memory


def main() -> None:
    """Import timm, and the zoo for one of its nets; then make the net, from a file if there is one."""
    net, *file = sys.argv[1:]
    start = time.perf_counter()
    import timm

    with_timm = time.perf_counter()
    if net.startswith("vgg_"):
        import vgg_zoo  # noqa: F401 (registers the nets)
    imported = time.perf_counter()
    weights: dict[str, Any] = {"pretrained": True, "pretrained_cfg_overlay": {"file": file[0]}} if file else {}
    timm.create_model(net, **weights)
    found = {"import timm": with_timm - start, "import more": imported - with_timm}
    found["load" if file else "create"] = time.perf_counter() - imported
    found["peak"] = peak_memory()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
