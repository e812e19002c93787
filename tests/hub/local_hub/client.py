"""The client's side: a process that works with a local Hub, and does not sleep for long."""

import os
from pathlib import Path

from tests.hub.local_hub.hub import LocalHub

IMPATIENT = """
import time
_sleep = time.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 0.01))
"""
"""Code that a process runs first: `time.sleep` takes 10 ms at most."""


def environment(hub: LocalHub, home: Path, token: str | None = None, **extra: str) -> dict[str, str]:
    """The environment of a process that works with a Hub.

    Args:
        hub: Where `HF_ENDPOINT` points to; xet is off if it is not on there.
        home: `HF_HOME`, and with it the cache.
        token: Nobody is logged in without one.
        extra: More variables.
    """
    home.mkdir(parents=True, exist_ok=True)
    # The client asks the Hub for this once a day, in order to tell it which coding agent runs it.
    (home / ".agent_harnesses.json").write_text('{"standardEnvVars": [], "harnesses": {}}')
    ours = ("HF_", "HUGGING", "TRANSFORMERS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        kept.pop(name, None)
        kept.pop(name.upper(), None)
    kept |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    kept |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    kept |= {} if hub.xet else {"HF_HUB_DISABLE_XET": "1"}
    kept |= {"HF_TOKEN": token} if token else {}
    return kept | extra
