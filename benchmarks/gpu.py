"""The project on one GPU: does it train right, how fast, and how does it test? Meant for four minutes, no network.

    python -m benchmarks.gpu [--sections step dense] [--output benchmarks/results/gpu]
    python -m benchmarks.gpu --device cpu --small     # the same code anywhere, on narrow nets, in two to three minutes

Each section has a process, a time limit and verdicts of its own: passed, failed (and why), met or not met (goals),
measured, not run (and why). One that fails does not stop the others; the exit code is then 1. On a CPU goals are
measured and not judged. It wants torch 2.11 or newer, and says what is missing before anything runs.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.card.needs import missing, too_old
from benchmarks.card.report import Line, Setting
from benchmarks.card.sections import SECTIONS, run_all, run_here

RESULTS = Path("benchmarks/results/gpu")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="narrow nets and few steps; on a CPU only")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="NAME")
    parser.add_argument("--output", type=Path, help=f".md and .csv are added; {RESULTS}, on a CPU a temporary one")
    parser.add_argument("--only", choices=SECTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--lines", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.small != (args.device == "cpu"):
        parser.error("--small and --device cpu go together: full nets take hours on a CPU, and small ones tell nothing")
    args.output = args.output or (RESULTS if args.device == "cuda" else Path(tempfile.mkdtemp()) / "gpu_code_on_cpu")
    return args


def unable(device: str) -> str | None:
    """Why nothing can run here."""
    if absent := missing():
        return f"missing: {', '.join(absent)}; pip install -e '.[train]'"
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no GPU; --device cpu --small runs the same code without one"
    return None


def save(output: Path, lines: Sequence[Line], setting: Setting) -> None:
    """Write the table."""
    from benchmarks.timing import machine, write

    table = [
        {
            "section": line.section,
            "what": line.what,
            "measured": line.measured,
            "goal or bound": line.goal,
            "verdict": line.verdict.replace("|", "/"),
        }
        for line in lines
    ]
    data = [row | {"value": str(line.value)} for row, line in zip(table, lines, strict=True)]
    where = "On one GPU (its name is in the table)" if setting.gpu else "THE CODE ONLY, narrow nets on a CPU"
    write(output, table, f"{where}, beside: {machine()}.", data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections; 1 if any failed, 2 if nothing can run."""
    args = parse(arguments)
    setting = Setting(device=args.device, small=args.small)
    if args.only:
        run_here(args.only, setting, args.lines)
        return 0
    if why := unable(args.device):
        print(f"error: {why}", file=sys.stderr)
        return 2
    for sentence in too_old():
        print(f"note: {sentence}", file=sys.stderr)
    lines = run_all(args.sections, setting)
    save(args.output, lines, setting)
    failed = sum(not line.is_good for line in lines)
    print(f"{len(lines)} lines, {failed} failed; wrote {args.output}.md and .csv")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
