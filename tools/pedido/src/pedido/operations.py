"""Commands about the whole of a service: its outbox, lag, consumer, offsets, and its health."""

from __future__ import annotations

import asyncio
import email.utils
import subprocess
import sys
import time
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console

from pedido import topics
from pedido.api import Api, read, send
from pedido.letters import Note, Where, Yes
from pedido.show import Desk, Output, confirm, desk_of
from pedido.trouble import FOUND_TROUBLE, NO_CONNECTION, Trouble
from pedido.where import Service

consumers = typer.Typer(no_args_is_help=True, help="Consumers: pause, resume, status.")
outbox = typer.Typer(no_args_is_help=True, help="What is announced and not yet at the broker.")
events = typer.Typer(no_args_is_help=True, help="Events, decoded, straight from the topics.")
invariants = typer.Typer(no_args_is_help=True, help="Nothing lost, doubled or oversold.")

Finding = tuple[str, str]
"""What is wrong, and its remedy."""

_ALIVE = 1.0
_MOST_SKEW = 5.0
"""Seconds; tokens are believed with more, but logs are read side by side."""


@outbox.command("status")
def outbox_status(context: typer.Context) -> None:
    """Tell how much has not left each service, since when, and what the broker refuses."""
    desk = desk_of(context)
    found = [{"service": s, **Api(desk.where, s).get("/outbox")} for s in Service]
    desk.rows(found, "service depth oldestAgeSeconds refusedCount")


def lag(context: typer.Context) -> None:
    """Tell how many records each service has not taken yet."""
    desk = desk_of(context)
    found = [{"service": s, **Api(desk.where, s).get("/lag")} for s in Service]
    desk.rows(found, "service group lag heldBack")


@consumers.command("status")
def consumer_status(context: typer.Context) -> None:
    """Tell whether each consumer runs, and if not, why and by whom."""
    desk = desk_of(context)
    found = [each for s in Service for each in Api(desk.where, s).get("/consumers")["data"]]
    desk.rows(found, "consumer state reason since pausedBy")


@consumers.command("pause")
def pause(context: typer.Context, service: Where, note: Note, yes: Yes = False) -> None:
    """Stop a service's reading and retrying until it is resumed; a restart doesn't resume it."""
    desk = desk_of(context)
    confirm(f"Pause the consumer of {service}? Its orders wait.", yes=yes)
    desk.facts(Api(desk.where, service).post("/consumers/pause", {"note": note}))


@consumers.command("resume")
def resume(context: typer.Context, service: Where, note: str | None = None) -> None:
    """Let a paused or flooded consumer go on."""
    desk = desk_of(context)
    desk.facts(Api(desk.where, service).post("/consumers/resume", {"note": note}))


@events.command("show")
def show_events(context: typer.Context, order: UUID) -> None:
    """Show all that was said about one order, in time order over all topics."""
    _print_events(desk_of(context), order=str(order), last=0, follow=False)


@events.command("tail")
def tail_events(
    context: typer.Context,
    order: UUID | None = None,
    last: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="until Ctrl-C")] = False,
) -> None:
    """Show the newest events, and with --follow those that come."""
    given = str(order) if order else None
    _print_events(desk_of(context), order=given, last=last, follow=follow)


def _print_events(desk: Desk, *, order: str | None, last: int, follow: bool) -> None:
    async def run() -> list[dict[str, Any]]:
        found = []
        async for event in topics.read(desk.where, order=order, last=last, follow=follow):
            if follow:
                desk.facts(event)
            else:
                found.append(event)
        return found

    found = asyncio.run(run())
    if not follow:
        desk.rows(found, "at type value" if order else "at type order")


def rewind(
    context: typer.Context,
    service: Where,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="tell what would be set")] = False,
    wait: Annotated[int, typer.Option(min=0, max=3600, help="seconds for it to stop")] = 120,
    yes: Yes = False,
) -> None:
    """Set a service's offsets to where its restored database stands.

    Run it while the service answers; then stop the service: offsets are set once nobody consumes.
    """
    desk = desk_of(context)
    found = Api(desk.where, service).get("/lag")
    ahead = [
        {**part, "to": part["position"] or 0}
        for part in found["partitions"]
        if (part["committed"] or 0) > (part["position"] or 0)
    ]
    desk.rows(ahead, "topic partition committed to endOffset")
    if dry_run or not ahead:
        return
    confirm(f"Set {len(ahead)} offsets of {found['group']} back? Stop it first or now.", yes=yes)
    _wait_until_nobody_consumes(desk, found["group"], wait)
    wanted = {(part["topic"], part["partition"]): part["to"] for part in ahead}
    asyncio.run(topics.set_offsets(desk.where, found["group"], wanted))
    Console(stderr=True).print("Set. Start the service again; it reads from there.")


def _wait_until_nobody_consumes(desk: Desk, group: str, wait: int) -> None:
    deadline = time.monotonic() + wait
    with Console(stderr=True).status(f"waiting until nobody consumes as {group}"):
        while (state := asyncio.run(topics.group_state(desk.where, group))) not in _NOBODY:
            if time.monotonic() > deadline:
                raise Trouble(f"{group} is {state}: stop the service, then try again")
            time.sleep(_ALIVE)


_NOBODY = frozenset({"Empty", "Dead"})


@invariants.command("check")
def check(context: typer.Context) -> None:
    """Compare databases, topics and the provider's ledger; exit 0 only if all holds."""
    desk = desk_of(context)
    flags = ["--json"] if desk.output is Output.JSON else []
    command = [sys.executable, "-m", "invariants", *flags]
    raise typer.Exit(subprocess.run(command, env=desk.where.known, check=False).returncode)  # noqa: S603


def doctor(context: typer.Context) -> None:
    """Look at everything on one screen, and say what to do; exit 1 if something is to be done."""
    desk = desk_of(context)
    found = [advice for service in Service for advice in examine(desk, service)]
    if not found:
        found = [{"service": "all", "finding": "well", "remedy": "nothing to do"}]
        desk.rows(found, "service finding remedy")
        return
    desk.rows(found, "service finding remedy")
    raise typer.Exit(FOUND_TROUBLE)


def examine(desk: Desk, service: Service) -> list[dict[str, str]]:
    """List what is wrong with one service, each with its remedy."""
    try:
        pairs = _answering(desk, service)
    except Trouble as trouble:
        pairs = [(str(trouble), "start it; look at its log")]
    else:
        pairs += _working(Api(desk.where, service))
    return [{"service": service, "finding": each, "remedy": remedy} for each, remedy in pairs]


def _answering(desk: Desk, service: Service) -> list[Finding]:
    asked = time.time()
    answer = send("GET", f"{desk.where.url(service)}/api/v1/health/ready")
    found = []
    try:
        read(answer, service)
    except Trouble as trouble:
        found.append((f"not ready: {trouble}", "mend what it names"))
    date = email.utils.parsedate_tz(answer.headers.get("date"))
    skew = email.utils.mktime_tz(date) - asked if date else 0.0
    if abs(skew) > _MOST_SKEW:
        found.append((f"its clock is {skew:+.0f} s from yours", "look at its time service"))
    return found


def _working(api: Api) -> list[Finding]:
    """Look at each thing by itself: what is away must not hide what else was found."""
    found = []
    for look in (_consumers, _outbox, _lag, _keys, _breakers, _sagas):
        try:
            found += look(api)
        except Trouble as trouble:
            if trouble.code == NO_CONNECTION:
                raise
            found.append((str(trouble), "wait until what it needs is back, then look again"))
    return list(dict.fromkeys(found))


def _consumers(api: Api) -> list[Finding]:
    remedy = f"mend the cause, then pedido consumers resume {api.service}"
    halted = (each for each in api.get("/consumers")["data"] if each["state"] != "RUNNING")
    return [(f"consumer {each['state']}: {each['reason']}", remedy) for each in halted]


def _outbox(api: Api) -> list[Finding]:
    refused = api.get("/outbox")["refusedCount"]
    finding = f"events that the broker refuses: {refused}"
    return [(finding, "pedido --output json outbox status tells why")] if refused else []


def _lag(api: Api) -> list[Finding]:
    held = api.get("/lag")["heldBack"]
    finding = f"partitions held back, for the database was restored: {held}"
    return [(finding, f"pedido rewind {api.service}")] if held else []


def _keys(api: Api) -> list[Finding]:
    keys = api.get("/parked-keys", limit=100)["data"]
    return [(f"keys that wait: {len(keys)}", f"pedido parked list {api.service}")] if keys else []


def _breakers(api: Api) -> list[Finding]:
    opened = (each for each in api.get("/breakers")["data"] if each["state"] == "open")
    remedy = "look at the provider; it closes by itself"
    return [(f"breaker {each['name']} is {each['state']}", remedy) for each in opened]


def _sagas(api: Api) -> list[Finding]:
    if api.service is not Service.ORDER:
        return []
    stuck = api.pages("/sagas", 100, health="STUCK")
    return [(f"sagas that are stuck: {len(stuck)}", "pedido saga list")] if stuck else []
