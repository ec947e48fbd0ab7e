"""Which figures become pictures: what an order costs by process, and how long it takes."""

import re
from collections.abc import Mapping, Sequence

from benchmarks import meter, svg
from benchmarks.figures import Measured

_PERCENTILE = re.compile(r"POST → (\w+) p([\d.]+) ms")
_AT_REST = "CPU ms an order, "


def draw(rows: Sequence[Measured]) -> dict[str, str]:
    """Draw what there are figures for: file name → SVG."""
    by_id = {measured.row.id: measured for measured in rows if measured.runs}
    prices = dict(_prices(by_id))
    steps = _steps(by_id["P3"]) if "P3" in by_id else {}
    pictures = {}
    if prices:
        title = "CPU of one order by process, milliseconds"
        pictures["cpu.svg"] = svg.bars(title, prices)
    if steps:
        title = "From POST /orders at 50 orders/s, milliseconds by percentile"
        pictures["latency.svg"] = svg.lines(title, steps)
    return pictures


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
