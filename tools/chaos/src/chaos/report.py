"""What a run found, for people: a table on the screen, and the same as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from chaos.fault import Row

_HEAD = ("fault", "what was broken", "injected", "orders", "violations")


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one row."""

    row: Row
    injected: int
    orders: int
    exits: int
    """How often a service ended by itself, to begin anew."""
    seconds: float
    found: tuple[str, ...]

    @property
    def violations(self) -> int:
        return len(self.found)

    def cells(self) -> tuple[str, ...]:
        """Say it in the columns of the table."""
        counts = (self.injected, self.orders, self.violations)
        return (self.row.id, self.row.title, *(f"{count:,}" for count in counts))


def total(results: Sequence[Result]) -> tuple[str, ...]:
    """Add up the columns of the table."""
    sums = (
        sum(result.injected for result in results),
        sum(result.orders for result in results),
        sum(result.violations for result in results),
    )
    return ("", "in all", *(f"{count:,}" for count in sums))


def line(result: Result) -> str:
    """Say in one line what came of a row."""
    exits = f", {result.exits} own exits" if result.exits else ""
    verdict = "[green]holds[/]" if not result.found else "[bold red]BROKEN[/]"
    said = (
        f"{result.row.id:<4}{verdict}  {result.injected} faults, {result.orders:,} orders,"
        f" {result.seconds:.0f} s{exits}  [dim]{escape(result.row.title)}[/]"
    )
    return "\n".join([said, *(f"    [red]{escape(each)}[/]" for each in result.found)])


def as_table(results: Sequence[Result], caption: str) -> Table:
    """Lay the run out, fault by fault."""
    table = Table(title="Faults", caption=caption, title_justify="left", show_footer=True)
    for number, (name, footer) in enumerate(zip(_HEAD, total(results), strict=True)):
        table.add_column(name, footer, justify="right" if number > 1 else "left")
    for result in results:
        table.add_row(*map(escape, result.cells()))
    return table


def as_markdown(results: Sequence[Result], caption: str) -> str:
    """Write the table for the documentation."""
    rows = [_HEAD, ("---", "---", "---:", "---:", "---:"), *(each.cells() for each in results)]
    rows.append(total(results))
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([caption, "", *lines, ""])
