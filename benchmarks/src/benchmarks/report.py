"""The figures for people, for the README and for other programs."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import psutil
from devstack.topology import LOCAL, ROOT
from rich.table import Table

from benchmarks.figures import Row

FOLDER = LOCAL / "bench"
GIB = 1024**3


def as_table(rows: Iterable[Row]) -> Table:
    """Draw the figures that have an aim, and those that explain them."""
    table = Table("", "figure", title_justify="left")
    for heading in ("median", "min to max", "aim"):
        table.add_column(heading, justify="right")
    for row in rows:
        for name, middle, spread, aim, met in _lines(row):
            colour = {True: "green", False: "red", None: ""}[met]
            shown = f"[{colour}]{middle}[/]" if colour else middle
            table.add_row(row.id, f"{row.what}: {name}", shown, spread, aim)
        table.add_section()
    return table


def as_markdown(rows: Iterable[Row], command: str) -> str:
    """Write the table that the README shows, with where it comes from."""
    lines = ["| id | figure | median | min to max | aim |", "|---|---|---:|---:|---:|"]
    for row in rows:
        for name, middle, spread, aim, _ in _lines(row):
            lines.append(f"| {row.id} | {row.what}: {name} | {middle} | {spread} | {aim} |")
    about = machine()
    where = f"`{command}`, {about['cores']} cores, {about['memory']}, commit {about['commit']}"
    return "\n".join([*lines, "", f"{where}, {about['date']}."]) + "\n"


def save(rows: Iterable[Row], command: str) -> Path:
    """Keep both forms; returns the Markdown's path."""
    rows = list(rows)
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {"command": command, "machine": machine(), "rows": [row.as_json() for row in rows]}
    (FOLDER / "figures.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    path = FOLDER / "figures.md"
    path.write_text(as_markdown(rows, command))
    return path


def machine() -> dict[str, str]:
    """Say where and on what code this runs."""
    git = subprocess.run(  # noqa: S603  no input
        ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / GIB:.0f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": git.stdout.strip() or "unknown",
        "date": datetime.now(UTC).date().isoformat(),
    }


def _lines(row: Row) -> Iterable[tuple[str, str, str, str, bool | None]]:
    for name in row.names:
        values, middle, aim = row.values(name), row.median(name), row.aims.get(name)
        spread = f"{_number(values[0])} to {_number(values[-1])}"
        met = aim.met(middle) if aim else None
        yield name, _number(middle), spread, str(aim or ""), met


def _number(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004
