"""`pedido dlt` and `pedido parked`: what was taken and not handled, and what becomes of it."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from pedido.api import Api
from pedido.show import Output, confirm, desk_of
from pedido.where import Service

dlt = typer.Typer(no_args_is_help=True, help="Dead letters: look at, replay, discard, restore.")
parked = typer.Typer(no_args_is_help=True, help="Keys that wait behind a failed message.")

Where = Annotated[Service, typer.Argument(help="the service that could not handle it")]
Yes = Annotated[bool, typer.Option("--yes", help="don't ask")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="how many at most")]
Note = Annotated[str, typer.Option(help="why: it is kept with your name")]
LetterId = Annotated[int, typer.Argument(min=1)]

_LETTER = "id state type key errorClass attempt firstSeen"
_POLL = 0.3


@dlt.command("list")
def list_letters(
    context: typer.Context,
    service: Where,
    state: str | None = None,
    error_class: str | None = None,
    event_type: Annotated[str | None, typer.Option("--type")] = None,
    key: str | None = None,
    group_by: Annotated[str | None, typer.Option(help="errorClass, type or key")] = None,
    limit: Limit = 20,
) -> None:
    """List what waits or was set aside, or count it by class, type or key."""
    wanted = {"state": state, "errorClass": error_class, "type": event_type, "key": key}
    desk = desk_of(context)
    api = Api(desk.where, service)
    if group_by:
        counted = api.get("/dead-letters", groupBy=group_by, limit=min(limit, 100), **wanted)
        desk.rows(counted["groups"], "value count firstSeen lastSeen")
    else:
        desk.rows(api.pages("/dead-letters", limit, **wanted), _LETTER)


@dlt.command("show")
def show_letter(context: typer.Context, service: Where, letter: LetterId) -> None:
    """Show one with its headers and its decoded payload; personal data is withheld."""
    desk = desk_of(context)
    found = Api(desk.where, service).get(f"/dead-letters/{letter}")
    if desk.output is Output.JSON:
        desk.facts(found)
        return
    headers, payload = found.pop("headers"), found.pop("payload")
    desk.facts({**found, **{name: value for name, value in payload.items() if value is not None}})
    desk.rows(headers, "name value")


@dlt.command("replay")
def replay(
    context: typer.Context,
    service: Where,
    letter: Annotated[int | None, typer.Argument(min=1, help="one, or those of the filter")] = None,
    state: str | None = None,
    error_class: str | None = None,
    event_type: Annotated[str | None, typer.Option("--type")] = None,
    key: str | None = None,
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="messages a second")] = 50,
    most: Annotated[int, typer.Option("--max", min=1, max=1_000_000)] = 10_000,
    note: str | None = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="tell what would be replayed")] = False,
    yes: Yes = False,
) -> None:
    """Handle dead letters again, in their keys' order; a second replay changes nothing more."""
    desk = desk_of(context)
    api = Api(desk.where, service)
    if letter is not None and not dry_run:
        confirm(f"Replay {letter} of {service}?", yes=yes)
        desk.facts(api.post(f"/dead-letters/{letter}/replay", {"note": note}))
        return
    wanted = {"state": state, "errorClass": error_class, "type": event_type, "key": key}
    job = {
        "filter": {name: value for name, value in wanted.items() if value},
        "rate": rate,
        "max": most,
        "note": note,
    }
    plan = api.post("/replay-jobs/plan", job)
    if not dry_run and plan["matched"]:
        confirm(f"Replay {plan['matched']} dead letters of {service}?", yes=yes)
        plan = _follow(api, api.post("/replay-jobs", job))
    if desk.output is Output.JSON:
        desk.facts(plan)
        return
    sample = plan.pop("sample", [])
    desk.facts(plan)
    if sample:
        desk.rows(sample, _LETTER)


def _follow(api: Api, job: dict[str, Any]) -> dict[str, Any]:
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("replaying", total=job["matched"])
        while job["state"] == "RUNNING":
            time.sleep(_POLL)
            job = api.get(f"/replay-jobs/{job['jobId']}")
            bar.update(task, completed=job["replayed"] + job["leftOut"])
    return job


@dlt.command("edit")
def edit(
    context: typer.Context,
    service: Where,
    letter: LetterId,
    note: Note,
    members: Annotated[list[str], typer.Option("--set", help="MEMBER=JSON, as often as needed")],
    yes: Yes = False,
) -> None:
    """Replay one with other content and a new id; only where the service has OPS_EDIT=true."""
    desk = desk_of(context)
    payload = dict(_member(each) for each in members)
    confirm(f"Replay {letter} of {service} with other content?", yes=yes)
    answer = Api(desk.where, service).put(
        f"/dead-letters/{letter}", {"note": note, "payload": payload}
    )
    desk.facts(answer)


def _member(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        raise typer.BadParameter(f"{name}: write MEMBER=JSON; text needs its quotes") from None


@dlt.command("discard")
def discard(
    context: typer.Context, service: Where, letter: LetterId, note: Note, yes: Yes = False
) -> None:
    """Give up on one: its key flows on without it."""
    desk = desk_of(context)
    confirm(f"Discard {letter} of {service}? Its order goes on without it.", yes=yes)
    desk.facts(Api(desk.where, service).post(f"/dead-letters/{letter}/discard", {"note": note}))


@dlt.command("restore")
def restore(
    context: typer.Context, service: Where, letter: LetterId, note: str | None = None
) -> None:
    """Take a discarded one back; it is set aside until it is replayed."""
    desk = desk_of(context)
    desk.facts(Api(desk.where, service).post(f"/dead-letters/{letter}/restore", {"note": note}))


@parked.command("list")
def list_keys(context: typer.Context, service: Where, limit: Limit = 20) -> None:
    """List the keys that wait, and what stands at the head of each."""
    desk = desk_of(context)
    keys = Api(desk.where, service).pages("/parked-keys", limit)
    rows = [{**key, **{f"head{n.capitalize()}": key["head"][n] for n in ("id", "state", "type")},
             "errorClass": key["head"]["errorClass"]} for key in keys]  # fmt: skip
    desk.rows(rows, "key waiting since headId headState headType errorClass", raw=keys)


@parked.command("drain")
def drain(
    context: typer.Context,
    service: Where,
    key: str,
    note: str | None = None,
    yes: Yes = False,
) -> None:
    """Try a key's messages again at once, in their order."""
    desk = desk_of(context)
    confirm(f"Try the messages of {key} again?", yes=yes)
    answer = Api(desk.where, service).post(f"/parked-keys/{_quoted(key)}/drain", {"note": note})
    desk.facts(answer)


@parked.command("skip")
def skip(
    context: typer.Context,
    service: Where,
    key: str,
    head: Annotated[int, typer.Option(min=1, help="headId, as `list` shows it")],
    note: Note,
    yes: Yes = False,
) -> None:
    """Set aside the message at a key's head; what waits behind it flows."""
    desk = desk_of(context)
    confirm(f"Set {head} aside and let {key} go on?", yes=yes)
    body = {"headId": head, "note": note}
    desk.facts(Api(desk.where, service).post(f"/parked-keys/{_quoted(key)}/skip-head", body))


def _quoted(key: str) -> str:
    if not key or not all(c.isascii() and (c.isalnum() or c in "._~:-") for c in key):
        raise typer.BadParameter("write a key as `pedido parked list` shows it")
    return key
