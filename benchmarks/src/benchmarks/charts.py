"""Which figures become pictures: what an order costs, how long it takes, and what changes both."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, TypeAlias

from benchmarks import meter, svg
from benchmarks.figures import Measured

_PERCENTILE = re.compile(r"POST → (\w+) p([\d.]+) ms")
_AT_REST = "CPU ms an order, "
_STEP = re.compile(r"(\d+): (.+)")
_MINUTE = re.compile(r"minute (\d+): (.+)")
_PART = re.compile(r"CPU ms of (.+)")
_SERVERS = ("postgres", "kafka", "valkey")
_BY_BATCH = (
    "completed orders/s",
    "CPU ms an order",
    "at 50/s: POST → CONFIRMED p99 ms",
)


Systems: TypeAlias = Sequence[Mapping[str, Any]]
"""What `make compare` found, as it is stored."""


def draw(rows: Sequence[Measured], systems: Systems = ()) -> dict[str, str]:
    """Draw what there are figures for: file name → SVG."""
    by_id = {measured.row.id: measured for measured in rows if measured.runs}
    return dict([*_pictures(by_id), *_peers(systems)])


def _peers(systems: Systems) -> Iterator[tuple[str, str]]:
    """Draw the CPU of an order by system, in its own programs and in its servers."""
    bars: dict[str, dict[str, float]] = {}
    for system in systems:
        if system["failure"] or not system["runs"]:
            continue
        parts = bars[system["title"].partition(",")[0]] = {"its programs": 0.0, "its servers": 0.0}
        for name in system["runs"][0]:
            if part := _PART.fullmatch(name):
                side = "its servers" if part[1] in _SERVERS else "its programs"
                parts[side] += median(run[name] for run in system["runs"])
    if bars:
        yield "peers.svg", svg.bars("CPU of one order by system, milliseconds", bars)


def _pictures(by_id: Mapping[str, Measured]) -> Iterator[tuple[str, str]]:
    if prices := _prices(by_id):
        yield "cpu.svg", svg.bars("CPU of one order by process, milliseconds", prices)
    if found := by_id.get("P3"):
        title = "From POST /orders at 50 orders/s, milliseconds by percentile"
        yield "latency.svg", svg.lines(title, _steps(found))
    if found := by_id.get("P13"):
        title = "What a consumer's batch size is worth: messages a transaction at most"
        yield "batches.svg", svg.lines(title, _series(found, _STEP, _BY_BATCH))
    if found := by_id.get("P10"):
        title = "A soak at 70 % of P2, by thirtieth of its time"
        yield "soak.svg", svg.lines(title, _series(found, _MINUTE))


def _prices(by_id: Mapping[str, Measured]) -> dict[str, dict[str, float]]:
    loads = {"as fast as accepted": ("P8", ""), "50 orders/s": ("P3", _AT_REST)}
    return {
        label: {part: by_id[row].median(prefix + part) for part in meter.SUITE}
        for label, (row, prefix) in loads.items()
        if row in by_id
    }


def _steps(measured: Measured) -> dict[str, dict[str, float]]:
    """Sort P3's percentiles by step: step → percentile → milliseconds."""
    steps: dict[str, dict[str, float]] = {}
    for name in measured.names:
        if found := _PERCENTILE.fullmatch(name):
            steps.setdefault(found[1], {})[f"p{found[2]}"] = measured.median(name)
    return steps


def _series(
    measured: Measured, pattern: re.Pattern[str], wanted: Iterable[str] = ()
) -> dict[str, dict[str, float]]:
    """Sort figures that are named by a step and what they are: figure → step → value."""
    lines: dict[str, dict[str, float]] = {name: {} for name in wanted}
    for name in measured.names:
        found = pattern.fullmatch(name)
        if found and (found[2] in lines or not wanted):
            lines.setdefault(found[2], {})[found[1]] = measured.median(name)
    return lines
