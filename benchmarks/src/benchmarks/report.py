"""The figures for people, for the README and for other programs."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks import charts, keeping
from benchmarks.figures import Measured
from benchmarks.keeping import Kept

PART = "minute "
"""Begins the names of figures that are only for the picture and for other programs."""


def as_table(rows: Iterable[Measured]) -> Table:
    """Draw the figures that have an aim, and those that explain them."""
    table = Table("", "figure", title_justify="left")
    for heading in ("median", "min to max", "aim"):
        table.add_column(heading, justify="right")
    for measured in rows:
        table.add_row(measured.row.id, f"[bold]{measured.row.what}[/]")
        for name, middle, spread, aim, met in _lines(measured):
            colour = {True: "green", False: "red", None: ""}[met]
            shown = f"[{colour}]{middle}[/]" if colour else middle
            table.add_row("", name, shown, spread, aim)
        table.add_section()
    return table


def as_markdown(kept: Sequence[Kept], pictures: Iterable[str] = ()) -> str:
    """Write a table of everything that was measured, and under it where and how."""
    lines = ["| id | figure | median | min to max | aim |", "|---|---|---:|---:|---:|"]
    for measured in (row for each in kept for row in each.rows):
        for name, middle, spread, aim, met in _lines(measured):
            shown = f"**{middle}**" if met is False else middle
            what = f"{measured.row.what}: {name}"
            lines.append(f"| {measured.row.id} | {what} | {shown} | {spread} | {aim} |")
    lines += ["", "Bold: the aim was missed.", ""]
    lines += (f"![{Path(name).stem}]({name})\n" for name in pictures)
    lines += _sources(kept)
    return "\n".join(lines) + "\n"


def save(folder: Path = keeping.FOLDER) -> Path:
    """Write all that is kept as one report; returns the Markdown's path."""
    kept = keeping.everything(folder)
    compared = folder / "compare.json"
    systems = json.loads(compared.read_text())["systems"] if compared.is_file() else ()
    pictures = charts.draw([row for each in kept for row in each.rows], systems)
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        (folder / name).write_text(picture)
    found = [keeping.as_json(each) for each in kept]
    (folder / "report.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    path = folder / "report.md"
    path.write_text(as_markdown(kept, pictures) + _beside_peers(folder))
    return path


def _beside_peers(folder: Path) -> str:
    """Take in what `make compare` wrote: P7."""
    path = folder / "compare.md"
    return f"\n## P7: beside its peers\n\n{path.read_text()}" if path.is_file() else ""


def _sources(kept: Sequence[Kept]) -> Iterable[str]:
    yield "| measured | runs | command | settings | commit | when (UTC) |"
    yield "|---|---:|---|---|---|---|"
    machines: dict[str, None] = {}
    for each in kept:
        about = each.circumstances
        settings = " ".join(f"`{name}={value}`" for name, value in about.settings.items())
        when = each.date.partition("+")[0]
        ids = ", ".join(measured.row.id for measured in each.rows)
        cells = (ids, str(each.runs), f"`{each.command}`", settings or "standard", about.commit)
        yield f"| {' | '.join(cells)} | {when} |"
        facts = about.machine
        of = f"{facts['cores']} cores of {facts['cpu']}, {facts['memory']}, {facts['system']}"
        machines[f"Machine: {of}, Python {facts['python']}."] = None
    yield from ("", *machines)


def _lines(measured: Measured) -> Iterable[tuple[str, str, str, str, bool | None]]:
    for name in measured.names:
        if name.startswith(PART):
            continue
        values, middle = measured.values(name), measured.median(name)
        aim = measured.row.aims.get(name)
        spread = f"{number(values[0])} to {number(values[-1])}"
        met = aim.met(middle) if aim else None
        yield name, number(middle), spread, str(aim or ""), met


def number(value: float) -> str:
    """Show three digits that mean something."""
    if abs(value) >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004
