"""The operator's view of dead letters and waiting keys, and what may be done with them."""

from typing import Annotated, Any

import asyncpg
from fastapi import Path, Query
from fastapi.encoders import jsonable_encoder

from common import avro, repair
from common.dead_letter import escaped
from common.errors import Poison, UnknownSchema
from common.http import Router
from common.openapi import refuses
from common.ops_parts import Operator, Parts, PartsOf, record
from common.ops_shapes import (
    Change,
    DeadLetter,
    DeadLetterDetail,
    DeadLetterQuery,
    Edit,
    Edited,
    Group,
    Groups,
    Header,
    Key,
    MaybeNoted,
    Noted,
    ParkedKey,
    Payload,
    RowId,
    SkipHead,
)
from common.paging import Page, PageQuery, PagesOf
from common.repair import Move, shown_key

_SHOWN_BYTES = 256

router = Router(tags=["operations"])

LetterId = Annotated[RowId, Path()]
KeyOf = Annotated[Key, Path()]


@router.get("/dead-letters")
async def list_dead_letters(
    query: Annotated[DeadLetterQuery, Query()], _operator: Operator, parts: PartsOf, pages: PagesOf
) -> Page[DeadLetter] | Groups:
    """List what was taken and not handled, newest first; with `groupBy`, count it instead."""
    if query.group_by:
        async with parts.database.transaction() as tx:
            found = await repair.group_parked(tx, query.wanted, query.group_by, limit=query.limit)
        return Groups(groups=[_group(row) for row in found])
    last = pages.begin("dead-letters", query)
    async with parts.database.transaction() as tx:
        rows = await repair.list_parked(
            tx, query.wanted, before_id=_before(last), limit=query.limit + 1
        )
    shown, cursor = pages.cut("dead-letters", query, rows, lambda row: [str(row["id"])])
    return Page(data=[DeadLetter.of(row) for row in shown], next_cursor=cursor)


@router.get("/dead-letters/{letter}")
async def get_dead_letter(
    letter: LetterId, _operator: Operator, parts: PartsOf
) -> DeadLetterDetail:
    """Show one with its headers and what it says; personal data is withheld."""
    async with parts.database.transaction() as tx:
        row = await repair.get_parked(tx, letter)
    pairs = zip(row["header_names"], row["header_values"], strict=True)
    headers = [Header(name=_text(name), value=_text(value)) for name, value in pairs]
    return DeadLetterDetail.of(row, headers=headers, payload=_payload(row, parts))


@router.post("/dead-letters/{letter}/replay", responses=refuses(invalid_state=409))
async def replay_dead_letter(
    letter: LetterId, body: MaybeNoted, operator: Operator, parts: PartsOf
) -> Change:
    """Have it tried again in its old place; its key waits for it."""
    return await _move("replay", letter, body.note, operator, parts)


@router.post("/dead-letters/{letter}/discard", responses=refuses(invalid_state=409))
async def discard_dead_letter(
    letter: LetterId, body: Noted, operator: Operator, parts: PartsOf
) -> Change:
    """Set it aside for good, unless somebody restores it; its key goes on."""
    return await _move("discard", letter, body.note, operator, parts)


@router.post("/dead-letters/{letter}/restore", responses=refuses(invalid_state=409))
async def restore_dead_letter(
    letter: LetterId, body: MaybeNoted, operator: Operator, parts: PartsOf
) -> Change:
    """Take a discarded one back, so that it can be replayed."""
    return await _move("restore", letter, body.note, operator, parts)


@router.put("/dead-letters/{letter}", responses=refuses(edit_disabled=403, invalid_state=409))
async def edit_dead_letter(
    letter: LetterId, body: Edit, operator: Operator, parts: PartsOf
) -> Edited:
    """Replay it in its old place with another payload, under a new id caused by the old one.

    Off unless the service runs with OPS_EDIT=true.
    """
    repair.refuse_edits(allowed=parts.edit)
    async with parts.database.transaction() as tx:
        event_id, moved = await repair.edit(tx, letter, body.payload, decider=parts.decider)
        change = await record(
            tx, operator, "dead-letter.edit", target=str(letter), note=body.note, moved=moved
        )
    return Edited(**dict(change), event_id=event_id)


@router.get("/parked-keys")
async def list_parked_keys(
    query: Annotated[PageQuery, Query()], _operator: Operator, parts: PartsOf, pages: PagesOf
) -> Page[ParkedKey]:
    """List the keys that wait, each with the message that it waits for."""
    last = pages.begin("parked-keys", query)
    async with parts.database.transaction() as tx:
        rows = await repair.list_keys(tx, before_id=_before(last), limit=query.limit + 1)
    shown, cursor = pages.cut("parked-keys", query, rows, lambda row: [str(row["id"])])
    keys = [
        ParkedKey(
            key=shown_key(row["key"]),
            waiting=row["waiting"],
            since=row["parked_at"],
            head=DeadLetter.of(row),
        )
        for row in shown
    ]
    return Page(data=keys, next_cursor=cursor)


@router.post("/parked-keys/{key}/drain")
async def drain_parked_key(
    key: KeyOf, body: MaybeNoted, operator: Operator, parts: PartsOf
) -> Change:
    """Have everything that the key waits with tried now, in its order."""
    async with parts.database.transaction() as tx:
        moved = await repair.drain(tx, repair.parse_key(key))
        return await record(
            tx, operator, "parked-key.drain", target=key, note=body.note, moved=moved
        )


@router.post("/parked-keys/{key}/skip-head", responses=refuses(invalid_state=409))
async def skip_parked_head(
    key: KeyOf, body: SkipHead, operator: Operator, parts: PartsOf
) -> Change:
    """Set aside the message that the key waits for, so that the rest goes on."""
    async with parts.database.transaction() as tx:
        moved = await repair.skip_head(
            tx, repair.parse_key(key), body.head_id, decider=parts.decider
        )
        return await record(
            tx, operator, "parked-key.skip-head", target=key, note=body.note, moved=moved
        )


async def _move(
    what: Move, letter: int, note: str | None, operator: Operator, parts: Parts
) -> Change:
    async with parts.database.transaction() as tx:
        moved = await repair.move(tx, what, letter)
        return await record(
            tx, operator, f"dead-letter.{what}", target=str(letter), note=note, moved=moved
        )


def _before(last: list[str]) -> int | None:
    return int(last[0]) if last else None


def _group(row: asyncpg.Record) -> Group:
    value = row["value"]
    return Group(**{**row, "value": shown_key(value) if isinstance(value, bytes) else value})


def _text(raw: bytes | None) -> str:
    return escaped((raw or b"").decode(errors="backslashreplace"))


def _payload(row: asyncpg.Record, parts: Parts) -> Payload:
    payload = row["payload"]
    if payload is None:
        return Payload(form="absent")
    if row["topic"] in parts.decider.state_topics:
        reason = "state topics hold personal data: look at the row that the service has instead"
        return Payload(form="withheld", size=len(payload), reason=reason)
    try:
        type_name, schema_id, value = avro.describe(payload)
    except (Poison, UnknownSchema) as error:
        prefix = payload[:_SHOWN_BYTES].hex()
        return Payload(form="hex", size=len(payload), prefix=prefix, reason=escaped(str(error)))
    shown: dict[str, Any] = jsonable_encoder(value)
    return Payload(
        form="decoded", size=len(payload), type=type_name, schema_id=schema_id, value=shown
    )
