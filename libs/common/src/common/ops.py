"""The operator's API, the same on every service: what waits and why, and the acts that mend it."""

import json
from typing import Annotated, Any

from fastapi import FastAPI, Query

from common import audit, halts, inbox, lag, ops_parked, ops_replay
from common.audit import AuditFilter
from common.consumer import Consumer
from common.database import Database
from common.halts import Halt
from common.http import Router
from common.lag import Offsets
from common.ops_parts import Operator, Parts, PartsOf, record
from common.ops_shapes import (
    Act,
    AuditQuery,
    BreakerState,
    Change,
    ConsumerState,
    Lag,
    Listed,
    MaybeNoted,
    Noted,
    Outbox,
    OutboxQuery,
    PartitionLag,
    Refused,
    RunState,
)
from common.paging import Cursors, Page, PagesOf
from common.repair import Moved, shown_key
from common.settings import ApiSettings

PREFIX = "/ops/v1"

router = Router(tags=["operations"])


def mount(app: FastAPI, consumer: Consumer[Any], database: Database, settings: ApiSettings) -> None:
    """Serve the operator's API; all lists of the application sign their pages with one key."""
    app.state.ops = Parts(database, consumer.shell.decider, consumer.kafka, settings.ops_edit)
    app.state.cursors = Cursors(settings.cursor_key)
    for each in (router, ops_parked.router, ops_replay.router):
        app.include_router(each, prefix=PREFIX)


@router.get("/outbox")
async def show_outbox(
    query: Annotated[OutboxQuery, Query()], _operator: Operator, parts: PartsOf
) -> Outbox:
    """Tell what is announced and not yet at the broker, and what the broker refuses for good."""
    async with parts.database.transaction() as tx:
        waiting = await tx.fetchrow(
            "SELECT count(*) AS depth, extract(epoch FROM now() - min(created_at))::float AS age, "
            "count(refused) AS refused FROM outbox"
        )
        rows = await tx.fetch(
            "SELECT id, topic, aggregateid AS key, type, refused AS reason, created_at "
            "FROM outbox WHERE refused IS NOT NULL ORDER BY id LIMIT $1",
            query.limit,
        )
    assert waiting is not None  # noqa: S101  an aggregate always has its one row
    return Outbox(
        depth=waiting["depth"],
        oldest_age_seconds=waiting["age"],
        refused_count=waiting["refused"],
        refused=[Refused(**{**row, "key": shown_key(row["key"])}) for row in rows],
    )


@router.get("/lag")
async def show_lag(_operator: Operator, parts: PartsOf) -> Lag:
    """Tell how far this database is behind each partition, and which ones are not read at all."""
    topics = parts.decider.reader.topics
    offsets = await lag.look(parts.kafka, group=parts.group, topics=topics)
    async with parts.database.transaction() as tx:
        positions = await inbox.positions(tx)
        halt = await halts.find(tx, parts.group)
    partitions = [
        _partition(each, positions.get((each.topic, each.partition)), halt) for each in offsets
    ]
    return Lag(
        group=parts.kafka.topic_prefix + parts.group,
        lag=sum(each.lag for each in partitions),
        held_back=sum(each.held_back for each in partitions),
        partitions=partitions,
    )


def _partition(at: Offsets, position: int | None, halt: Halt | None) -> PartitionLag:
    held_back = (at.committed or 0) > (position or 0)
    reason = f"the consumer stands still: {halt.reason}" if halt else None
    if held_back:
        reason = "the database is behind the group's offset, as after a restore: run pedido rewind"
    return PartitionLag(
        topic=at.topic,
        partition=at.partition,
        position=position,
        committed=at.committed,
        end_offset=at.end,
        lag=max(0, at.end - max(position or 0, at.begin)),
        held_back=held_back,
        reason=reason,
    )


@router.get("/consumers")
async def list_consumers(_operator: Operator, parts: PartsOf) -> Listed[ConsumerState]:
    """Tell whether this service reads its topics, and if not, why and by whose order."""
    async with parts.database.transaction() as tx:
        halt = await halts.find(tx, parts.group)
    state = ConsumerState(
        consumer=parts.group,
        state=_state(halt),
        reason=halt.reason if halt else None,
        since=halt.since if halt else None,
        paused_by=halt.paused_by if halt else None,
    )
    return Listed(data=[state])


@router.post("/consumers/pause")
async def pause_consumer(body: Noted, operator: Operator, parts: PartsOf) -> Change:
    """Stop reading and retrying until resumed; a restart does not resume it."""
    async with parts.database.transaction() as tx:
        before = await halts.find(tx, parts.group)
        changed = await halts.add(tx, parts.group, body.note, paused_by=operator.id)
        after = await halts.find(tx, parts.group)
        moved = Moved(int(changed), {_state(before): 1}, {_state(after): 1})
        return await record(
            tx, operator, "consumer.pause", target=parts.group, note=body.note, moved=moved
        )


@router.post("/consumers/resume")
async def resume_consumer(body: MaybeNoted, operator: Operator, parts: PartsOf) -> Change:
    """Let a paused or flooded consumer go on; its window of failures begins anew."""
    async with parts.database.transaction() as tx:
        before = await halts.find(tx, parts.group)
        changed = await halts.remove(tx, parts.group)
        moved = Moved(int(changed), {_state(before): 1}, {"RUNNING": 1})
        return await record(
            tx, operator, "consumer.resume", target=parts.group, note=body.note, moved=moved
        )


def _state(halt: Halt | None) -> RunState:
    if halt is None:
        return "RUNNING"
    return "PAUSED" if halt.paused_by else "FLOODED"


@router.get("/breakers")
async def list_breakers(_operator: Operator, parts: PartsOf) -> Listed[BreakerState]:
    """Tell the state of each circuit breaker, as the process that has it last wrote it down."""
    async with parts.database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT name, instance, state, since, seen_at FROM breakers ORDER BY name, instance"
        )
    return Listed(data=[BreakerState(**row) for row in rows])


@router.get("/audit")
async def list_audit(
    query: Annotated[AuditQuery, Query()], _operator: Operator, parts: PartsOf, pages: PagesOf
) -> Page[Act]:
    """List who did what, to what, why, and what changed; newest first."""
    last = pages.begin("audit", query)
    wanted = AuditFilter(query.action, query.target, query.principal, query.from_, query.to)
    async with parts.database.transaction() as tx:
        rows = await audit.list_acts(
            tx, wanted, before_id=int(last[0]) if last else None, limit=query.limit + 1
        )
    shown, cursor = pages.cut("audit", query, rows, lambda row: [str(row["id"])])
    acts = [
        Act(**{**row, "before": json.loads(row["before"]), "after": json.loads(row["after"])})
        for row in shown
    ]
    return Page(data=acts, next_cursor=cursor)
