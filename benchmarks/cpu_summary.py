"""From the results of `benchmarks.cpu` on several machines to one short table, and to what may be said of each.

python -m benchmarks.cpu_summary    # reads benchmarks/results/cpu*.csv, writes benchmarks/results/cpu_summary.md
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.cpu_table import Result, milliseconds, nearest, ratio, read_csv, rows
from benchmarks.timing import markdown

RESULTS = Path(__file__).parent / "results"
MACHINES = {
    "cpu.csv": "AMD EPYC, AVX512-BF16",
    "cpu_avx2.csv": "AMD EPYC, AVX2",
    "cpu_amx.csv": "Intel Xeon, AMX",
}
"""Files of results, and what their machine is called."""

Line = dict[str, Result]


def lines_of(file: str) -> list[Line]:
    """The lines of a file of results that ours are in, by implementation."""
    return [line for line in rows(read_csv(RESULTS / file)) if "ours" in line]


def claim(lines: Sequence[Line], ours: str) -> str:
    """In how many lines an implementation of ours is the fastest, and by how much: from the least to the most.

    `ours` is compared with peers in float32, `ours, bf16` with all.
    """
    times = [
        found for line in lines if (found := ratio(nearest(line, float32=ours == "ours"), line.get(ours))) is not None
    ]
    among = "of those in float32" if ours == "ours" else "of all"
    fastest = sum(each > 1 for each in times)
    return f"the fastest {among} in {fastest} of {len(times)} lines, {min(times):.2f} to {max(times):.2f} times"


def table(situation: str = "") -> list[dict[str, str]]:
    """Net E, one image of 224 × 224: milliseconds of ours and of the nearest peers; in all situations, or in one."""
    found = []
    for file, name in MACHINES.items():
        for line in lines_of(file):
            ours = line["ours"]
            if (ours.net, ours.side, ours.batch) == ("E", 224, 1) and situation in ("", ours.situation):
                peers = {which: nearest(line, float32=which) for which in (True, False)}
                found.append(
                    {
                        "machine, 2 cores": name,
                        "situation": ours.situation,
                        "ours": milliseconds(ours.seconds),
                        "ours, bf16": milliseconds(line["ours, bf16"].seconds) if "ours, bf16" in line else "–",
                        "nearest in float32": _peer(peers[True]),
                        "nearest of all": _peer(peers[False]),
                        "timm": milliseconds(line["timm"].seconds),
                    }
                )
    return found


def _peer(peer: Result | None) -> str:
    return "–" if peer is None else f"{milliseconds(peer.seconds)} ({peer.implementation})"


def main() -> None:
    """Write the table, and print it with the claims."""
    text = markdown(table())
    (RESULTS / "cpu_summary.md").write_text(text + "\n")
    print(text)
    for file, name in MACHINES.items():
        lines = lines_of(file)
        for ours in ("ours", "ours, bf16"):
            if any(ours in line for line in lines):
                print(f"{name}: {ours} is {claim(lines, ours)}")


if __name__ == "__main__":
    main()
