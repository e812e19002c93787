"""torchrun, whose exit code is the job's: 143 or 130 after a signal, where torchrun and Accelerate's launcher say 1.

    python recipes/launch.py --nproc-per-node 8 recipes/train.py --recipe vgg_d_s256 --data ILSVRC/imagenet-1k

Takes torchrun's own options. SIGUSR1 is handed on too, so that it may be sent to whatever process of the job.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from recipes.runtime.signals import EXIT_CODES

SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the processes, wait for their end, and give the exit code of the job."""
    options = torchrun.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    options.signals_to_handle = SIGNALS  # of newer versions, which set the variable by it
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = SIGNALS
    try:
        torchrun.run(options)
    except SignalException as signalled:
        return EXIT_CODES.get(signalled.sigval, 128 + signalled.sigval)
    except ChildFailedError as failed:
        codes = [failure.exitcode for failure in failed.failures.values()]
        return next((code for code in codes if code in EXIT_CODES.values()), 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
