"""How long a net takes to be there: the import, an untrained net, and one with its weights from a file.

    python -m benchmarks.startup [--net E] [--rounds 7] [--output benchmarks/results/startup]

Every figure is a median over fresh processes, ours and timm's in turn, after one of each that warms the files up. Both
load the same safetensors file.
"""

import statistics
import tempfile
from collections import defaultdict

import timm
from safetensors.torch import save_file

from benchmarks.nets import NETS, PEERS
from benchmarks.timing import benchmark_parser, in_own_process, machine, save

Figures = dict[str, float]


def measured(net: str, rounds: int) -> dict[tuple[str, str], Figures]:
    """Medians of each implementation for each way to begin."""
    runs: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/weights.safetensors"
        save_file(timm.create_model(PEERS[net]).state_dict(), file)
        for _ in range(rounds + 1):
            for name, net_name in (("ours", NETS[net]), ("timm", PEERS[net])):
                runs[name, "create"].append(in_own_process("benchmarks.fresh_process", net_name))
                runs[name, "load"].append(in_own_process("benchmarks.fresh_process", net_name, file))
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


def main() -> None:
    """Measure, print and save the table."""
    parser = benchmark_parser(__doc__, "startup", 7, "fresh processes of each kind")
    parser.add_argument("--net", choices=sorted(PEERS), default="E")
    args = parser.parse_args()
    figures = measured(args.net, args.rounds)
    lines = [
        import_row(figures),
        net_row(f"net {args.net}, untrained", "create", 1.0, figures),
        net_row(f"net {args.net}, from a file", "load", 2.0, figures),
    ]
    save(args.output, lines, f"Medians of {args.rounds} fresh processes on: {machine()}.")


if __name__ == "__main__":
    main()
