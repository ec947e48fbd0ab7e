"""What the command line may ask for."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.catalogue import BY_ID, MEASUREMENTS, USUAL
from benchmarks.measurement import Measurement, Size

_CLOSING = (
    "Run it on a quiet machine: whatever else runs is measured with it. Each finished run is kept"
    " in .local/bench/runs, and the report in .local/bench is written anew from all that is kept."
    " P7, the peers, is `python -m benchmarks.compare`."
    " Exit code: 0 measured, 1 a figure missed its aim, 2 no figures."
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure, how much of it and how often."""

    ids: tuple[str, ...]
    runs: int | None
    changes: dict[str, Any]
    """Fields of a measurement's size that differ from its standard."""
    resume: bool
    report: bool

    @property
    def measurements(self) -> list[Measurement]:
        return [each for each in MEASUREMENTS if each.ids.intersection(self.ids)]

    def size_of(self, measurement: Measurement) -> Size:
        return replace(measurement.size, **self.changes)

    def runs_of(self, measurement: Measurement) -> int:
        return self.runs or measurement.runs


def parse(words: Sequence[str] | None = None) -> Wanted:
    """Read the command line; exits with a message that names what is wrong."""
    parser = _parser()
    given = parser.parse_args(words)
    ids = tuple(_known(parser, name) for name in given.row) or USUAL
    sizes = {name: getattr(given, name) for name in ("orders", "seconds", "events", "steps")}
    changes = {name: value for name, value in sizes.items() if value is not None}
    numbers = [given.runs, given.orders, given.seconds, given.events, *(given.steps or ())]
    if any(number is not None and number <= 0 for number in numbers):
        parser.error("--runs and the sizes are more than 0")
    return Wanted(ids, given.runs, changes, given.resume, given.report)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Starts everything with durable settings, measures, and checks every invariant"
        " after each run.\n\n" + "\n".join(_overview()),
        epilog=_CLOSING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("row", nargs="*", help=f"default: {' '.join(USUAL)}")
    parser.add_argument("--runs", type=int, help="instead of a row's own number")
    parser.add_argument("--orders", type=int, help="of one load")
    parser.add_argument("--seconds", type=float, help="of one steady load")
    parser.add_argument("--events", type=int, help="that wait in an outbox or a topic")
    parser.add_argument("--steps", type=_steps, help="such as 1,10,50: what one run goes through")
    parser.add_argument("--resume", action="store_true", help="make only the runs that are missing")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the report")
    return parser


def _overview() -> list[str]:
    """Give each measurement a line: its rows, how long it takes, what it is."""
    lines = []
    for each in MEASUREMENTS:
        minutes = each.runs * each.lasts(each.size) / 60
        ids, what = " ".join(row.id for row in each.rows), each.rows[0].what
        lines.append(f"  {ids:<12} {minutes:5.1f} min, {each.runs} x  {what}")
    return lines


def _known(parser: argparse.ArgumentParser, name: str) -> str:
    known = {each.lower(): each for each in BY_ID}
    if name.lower() not in known:
        parser.error(f"no row {name}: there are {', '.join(BY_ID)}")
    return known[name.lower()]


def _steps(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))
