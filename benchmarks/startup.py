"""How long a net takes to be there: the import, an untrained net, and one with its weights from a file.

    python -m benchmarks.startup [--net E] [--rounds 7] [--output benchmarks/results/startup]

Every figure is a median over fresh processes, ours and timm's in turn, after one of each that warms the files up. Both
load the same safetensors file.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import timm
from safetensors.torch import save_file

from benchmarks.nets import NETS, PEERS
from benchmarks.timing import machine, save

ROOT = Path(__file__).resolve().parents[1]
Figures = dict[str, float]


def fresh(net: str, *file: str) -> Figures:
    """What one process measures of itself."""
    # Without compiled files each process would compile ours again, but not timm's, which pip has compiled.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "benchmarks.fresh_process", net, *file]
    done = subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    found: Figures = json.loads(done.stdout)
    return found


def measured(net: str, rounds: int) -> dict[tuple[str, str], Figures]:
    """Medians of each implementation for each way to begin."""
    runs: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/weights.safetensors"
        save_file(timm.create_model(PEERS[net]).state_dict(), file)
        for _ in range(rounds + 1):
            for name, net_name in (("ours", NETS[net]), ("timm", PEERS[net])):
                runs[name, "create"].append(fresh(net_name))
                runs[name, "load"].append(fresh(net_name, file))
    return {
        kind: {what: statistics.median(run[what] for run in each[1:]) for what in each[0]}
        for kind, each in runs.items()
    }


def import_row(figures: dict[tuple[str, str], Figures]) -> dict[str, str]:
    """The difference is the zoo's own import, measured by itself: that of two imports of three seconds is noise."""
    base, more = figures["timm", "create"]["import timm"], figures["ours", "create"]["import more"]
    met = "met" if more <= 0.15 else "not met"
    goal = f"at most 0.15 s more than timm: {met}, {more:.3f} s"
    return line("import", base + more, base) | {"ours, peak (GB)": "–", "timm, peak (GB)": "–", "goal": goal}


def net_row(what: str, kind: str, least: float, figures: dict[tuple[str, str], Figures]) -> dict[str, str]:
    """Seconds and memory of one way to begin."""
    ours, timms = figures["ours", kind], figures["timm", kind]
    met = "met" if timms[kind] >= least * ours[kind] else "not met"
    peaks = {"ours, peak (GB)": f"{ours['peak']:.2f}", "timm, peak (GB)": f"{timms['peak']:.2f}"}
    return line(what, ours[kind], timms[kind]) | peaks | {"goal": f"timm ÷ ours at least {least:g}: {met}"}


def line(what: str, ours: float, timms: float) -> dict[str, str]:
    """What every row has."""
    return {"what": what, "ours (s)": f"{ours:.3f}", "timm (s)": f"{timms:.3f}", "timm ÷ ours": f"{timms / ours:.2f}"}


def rows(net: str, rounds: int) -> list[dict[str, str]]:
    """The table."""
    figures = measured(net, rounds)
    return [
        import_row(figures),
        net_row(f"net {net}, untrained", "create", 1.0, figures),
        net_row(f"net {net}, from a file", "load", 2.0, figures),
    ]


def main() -> None:
    """Measure, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=sorted(PEERS), default="E")
    parser.add_argument("--rounds", type=int, default=7, help="fresh processes of each kind")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/startup"), help=".md and .csv are added"
    )
    args = parser.parse_args()
    save(args.output, rows(args.net, args.rounds), f"Medians of {args.rounds} fresh processes on: {machine()}.")


if __name__ == "__main__":
    main()
