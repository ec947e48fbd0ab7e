"""What commands print: a table for people or JSON for programs, and never a control character."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pedido.where import Where

_TIME = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,3})\d*)?(?:Z|\+00:00)$")


class Output(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


class Desk:
    """What every command works with: addresses and a way to print."""

    def __init__(self, where: Where, output: Output) -> None:
        """Print to stdout; progress and questions go to stderr."""
        self.where = where
        self.output = output

    def rows(self, rows: Iterable[Mapping[str, Any]], columns: str, *, raw: Any = None) -> None:
        """Print these columns of rows; programs get everything."""
        listed = list(rows)
        if self.output is Output.JSON:
            self._json(listed if raw is None else raw)
            return
        table = Table(box=None, pad_edge=False)
        names = columns.split()
        for name in names:
            table.add_column(name, overflow="fold")
        for row in listed:
            table.add_row(*(Text(plain(_short(row.get(name)))) for name in names))
        Console().print(table if listed else "nothing")

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Print one thing: a line for each fact, and for each entry of a list."""
        if self.output is Output.JSON:
            self._json(facts)
            return
        console = Console()
        for name, value in facts.items():
            for each in value if isinstance(value, list) and value else [value]:
                console.print(Text(f"{name}: {plain(each)}"))

    def _json(self, value: Any) -> None:
        typer.echo(json.dumps(value, indent=2, default=str))


def _short(value: Any) -> Any:
    """Cut a time to milliseconds: a row of a table has to fit."""
    found = _TIME.match(value) if isinstance(value, str) else None
    return f"{found[1]} {found[2]}.{found[3] or '000'}" if found else value


def plain(value: Any) -> str:
    """Write a value so that nothing in it can move the cursor or colour the screen."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return json.dumps(value, default=str)


def desk_of(context: typer.Context) -> Desk:
    """Find what the command was started with."""
    desk = context.find_root().obj
    if not isinstance(desk, Desk):
        message = "the command line was not started through its callback"
        raise TypeError(message)
    return desk


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is changed for good, unless it was answered already."""
    if not yes:
        typer.confirm(question, abort=True, err=True)
