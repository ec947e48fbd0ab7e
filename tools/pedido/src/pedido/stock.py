"""`pedido stock`: whether every count is what its movements and reservations add up to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress

from pedido.api import Api
from pedido.show import desk_of
from pedido.trouble import FOUND_TROUBLE
from pedido.where import Service

app = typer.Typer(no_args_is_help=True, help="Stock: counts against their movements.")

_AT_ONCE = 1000
"""Products of one request: as many as the service takes."""


@app.command("reconcile")
def reconcile(context: typer.Context) -> None:
    """Check each count against its movements and reservations; exit 1 if one differs.

    Only looks. Correct a count with `POST /inventory/adjustments`, once its cause is known.
    """
    desk = desk_of(context)
    found = list(_differences(Api(desk.where, Service.INVENTORY)))
    desk.rows(found, "sku column expected found reason")
    if found:
        raise typer.Exit(FOUND_TROUBLE)


def _differences(api: Api) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reconciling", total=None)
        while True:
            page = api.get("/stock-differences", limit=_AT_ONCE, cursor=cursor)
            yield from page["data"]
            bar.update(task, total=page["products"], advance=page["checked"])
            cursor = page["nextCursor"]
            if cursor is None:
                return
