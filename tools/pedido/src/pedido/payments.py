"""`pedido payments`: the provider's list against our books."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from pedido.api import Api
from pedido.show import desk_of
from pedido.trouble import FOUND_TROUBLE, Trouble
from pedido.where import Service

app = typer.Typer(no_args_is_help=True, help="Payments: compare the provider's list with ours.")

_PATIENCE = 600.0
"""Seconds; the service itself gives a comparison up after as long."""
_LOOK_EVERY = 0.5
_MOST_SHOWN = 1000
_HOURS_OF_A_MONTH = 31 * 24


@app.command("reconcile")
def reconcile(
    context: typer.Context,
    hours: Annotated[
        int, typer.Option(min=1, max=_HOURS_OF_A_MONTH, help="how far back to compare")
    ] = 24,
) -> None:
    """Compare the provider's list with our payments; exit 1 if they differ.

    What is still on its way is left out. Each difference stays in the database with its reason.
    """
    desk = desk_of(context)
    api = Api(desk.where, Service.PAYMENT)
    until = datetime.now(UTC) - timedelta(seconds=5)
    body = {"from": (until - timedelta(hours=hours)).isoformat(), "to": until.isoformat()}
    path = f"/reconciliations/{api.post('/reconciliations', body)['reconciliationId']}"
    run = _made(api, path)
    found = api.pages(f"{path}/differences", _MOST_SHOWN)
    desk.rows(found, "reason orderId paymentId providerId ours theirs", raw=[run, *found])
    if run["differences"]:
        count, moving = run["differences"], run["inFlux"]
        raise Trouble(
            f"{count} differences in {run['compared']} payments ({moving} on their way)",
            FOUND_TROUBLE,
        )


def _made(api: Api, path: str) -> dict[str, Any]:
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:
        run: dict[str, Any] = api.get(path)
        if run["finishedAt"] is not None:
            return run
        time.sleep(_LOOK_EVERY)
    raise Trouble("the comparison is not made: does the provider answer? See pedido doctor")
