"""`pedido saga`: orders that hang, why, and how they go on."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import typer

from pedido.api import Api
from pedido.letters import Limit, Note, Yes
from pedido.show import Desk, Output, confirm, desk_of
from pedido.trouble import Trouble
from pedido.where import Service

app = typer.Typer(no_args_is_help=True, help="Sagas: what hangs and why; retry, force, resolve.")

Order = Annotated[UUID, typer.Argument(help="the order's id")]

_OTHERS = {"inventory-service": Service.INVENTORY, "payment-service": Service.PAYMENT}


@app.command("list")
def list_sagas(
    context: typer.Context,
    health: Annotated[str | None, typer.Option(help="STUCK unless told what; ALL for all")] = None,
    status: str | None = None,
    limit: Limit = 20,
) -> None:
    """List sagas and what each waits for."""
    desk = desk_of(context)
    wanted = None if health == "ALL" else health or "STUCK"
    found = Api(desk.where, Service.ORDER).pages("/sagas", limit, health=wanted, status=status)
    rows = [
        {**saga, "waitsFor": ", ".join(wait["fact"] for wait in saga["waitsFor"])} for saga in found
    ]
    desk.rows(rows, "orderId status health stuckReason waitsFor updatedAt", raw=found)


@app.command("show")
def show(context: typer.Context, order: Order) -> None:
    """Show one saga: what it waits for, since when, and why it has not come."""
    desk = desk_of(context)
    saga = Api(desk.where, Service.ORDER).get(f"/sagas/{order}")
    services = [Service.ORDER, *(_OTHERS[wait["source"]] for wait in saga["waitsFor"]
                if wait["source"] in _OTHERS)]  # fmt: skip
    saga["reasons"] = [why for service in services for why in reasons(desk, service, str(order))]
    if desk.output is Output.JSON:
        desk.facts(saga)
        return
    history = saga.pop("history")
    desk.facts({name: value for name, value in saga.items() if name != "causes"})
    desk.rows(history, "at service type reason note")


def reasons(desk: Desk, service: Service, order: str) -> list[str]:
    """Ask a service for all that may keep an order waiting in it."""
    api = Api(desk.where, service)
    try:
        return [f"{service}: {reason}" for reason in _reasons(api, order)]
    except Trouble as trouble:
        return [f"{service}: can't be asked: {trouble}"]


def _reasons(api: Api, order: str) -> list[str]:
    found = []
    waiting = api.get("/dead-letters", key=order)["data"]
    found += [
        f"message {each['id']} ({each['type']}) is {each['state']}: {each['errorClass']}"
        for each in waiting
        if each["state"] != "discarded"
    ]
    found += [
        f"its consumer is {each['state']}: {each['reason']}"
        for each in api.get("/consumers")["data"]
        if each["state"] != "RUNNING"
    ]
    found += [
        f"breaker {each['name']} is {each['state']}"
        for each in api.get("/breakers")["data"]
        if each["state"] != "closed"
    ]
    outbox = api.get("/outbox")
    if any(row["key"] == order for row in outbox["refused"]):
        found.append("the broker refuses an event of this order")
    lag = api.get("/lag")
    if lag["lag"]:
        found.append(f"it is {lag['lag']} records behind")
    if lag["heldBack"]:
        found.append(f"{lag['heldBack']} partitions are held back: run pedido rewind")
    return found


@app.command("retry")
def retry(context: typer.Context, order: Order, note: str | None = None, yes: Yes = False) -> None:
    """Ask again for what a stuck saga waits for, with fresh timers."""
    confirm(f"Ask again for what {order} is owed?", yes=yes)
    _tell(context, order, "retry", {"note": note})


@app.command("force")
def force(context: typer.Context, order: Order, note: Note, yes: Yes = False) -> None:
    """Stop waiting for completion: the services undo a confirmed order that is stuck."""
    confirm(f"Have {order} undone? Its stock and its money go back.", yes=yes)
    _tell(context, order, "force", {"note": note})


@app.command("resolve")
def resolve(
    context: typer.Context,
    order: Order,
    note: Note,
    stock: Annotated[bool, typer.Option("--stock", help="the stock was settled by hand")] = False,
    money: Annotated[bool, typer.Option("--money", help="the money was settled by hand")] = False,
    yes: Yes = False,
) -> None:
    """End a stuck saga where it was heading, on your word for each answer that is missing."""
    confirm(f"Have you settled all that {order} waits for by hand?", yes=yes)
    settled = [side for side, given in (("stock", stock), ("money", money)) if given]
    _tell(context, order, "resolve", {"note": note, "settled": settled})


def _tell(context: typer.Context, order: UUID, verb: str, body: dict[str, Any]) -> None:
    desk = desk_of(context)
    desk.facts(Api(desk.where, Service.ORDER).post(f"/sagas/{order}/{verb}", body))
