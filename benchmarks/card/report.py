"""What a section of `benchmarks.gpu` finds: lines with a verdict each, written at once, so that a hang loses none."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

PASSED, MEASURED, MET, NOT_MET = "passed", "measured", "met", "not met"
FAILED, NOT_RUN = "failed: ", "not run: "  # the reason follows


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Where the sections run, and how large.

    Attributes:
        device: "cuda" or "cpu".
        small: Narrow nets, few steps, tiny batches: to run the code anywhere.
    """

    device: str
    small: bool

    @property
    def gpu(self) -> bool:
        """Whether it is one."""
        return self.device == "cuda"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One finding.

    Attributes:
        section: Name of the section.
        what: Was looked at.
        measured: In words.
        value: The number behind them, in the unit that they name; NaN where there is none.
        goal: Or bound, in words; empty where there is none.
        verdict: One of the constants above.
    """

    section: str
    what: str
    measured: str = ""
    value: float = math.nan
    goal: str = ""
    verdict: str = MEASURED

    @property
    def is_good(self) -> bool:
        """Nothing failed; a goal that was not met is no failure."""
        return not self.verdict.startswith(FAILED)


class Report:
    """The lines of a section, appended to a file as they are found.

    Args:
        section: Its name.
        setting: On a CPU, goals are measured and not judged.
        file: One JSON object a line.
    """

    def __init__(self, section: str, setting: Setting, file: Path) -> None:
        self.section, self.setting, self.file = section, setting, file

    def add(
        self, what: str, measured: str = "", *, value: float = math.nan, goal: str = "", verdict: str = MEASURED
    ) -> None:
        """One line; without a verdict, a measurement."""
        line = Line(section=self.section, what=what, measured=measured, value=value, goal=goal, verdict=verdict)
        with self.file.open("a") as file:
            file.write(json.dumps(asdict(line)) + "\n")

    def bound(self, what: str, value: float, most: float) -> None:
        """A number that must not be above `most`; NaN fails."""
        verdict = PASSED if value <= most else f"{FAILED}above the bound"
        self.add(what, f"{value:.2g}", value=value, goal=f"at most {most:g}", verdict=verdict)

    def same(self, what: str, one: object, other: object) -> None:
        """Two things that must be equal, as digests."""
        equal = one == other
        measured, verdict = ("equal", PASSED) if equal else (f"{one} and {other}", f"{FAILED}not equal")
        self.add(what, measured, value=float(equal), goal="equal", verdict=verdict)

    def goal(self, what: str, value: float, *, least: float | None = None, most: float | None = None) -> None:
        """A number of speed or memory with a goal, which is judged on a GPU only."""
        met = (least is None or value >= least) and (most is None or value <= most)
        words = f"at least {least:g}" if least is not None else f"at most {most:g}"
        verdict = (MET if met else NOT_MET) if self.setting.gpu else MEASURED
        self.add(what, f"{value:.3g}", value=value, goal=words, verdict=verdict)


def read(file: Path) -> list[Line]:
    """The lines that a section wrote before it ended, however it ended."""
    text = file.read_text() if file.exists() else ""
    return [Line(**json.loads(line)) for line in text.splitlines() if line.endswith("}")]
