"""I9, I10 and I11: every event was taken once, in order, and nothing is on its way any more."""

from collections.abc import AsyncIterator, Iterator, Mapping
from uuid import UUID

from invariants.decides import EVENT_TOPICS, HEARD, SCHEMAS
from invariants.report import Finding, counted
from invariants.sources import Connection
from invariants.topics import Place, TopicLog

OUT_OF_ORDER = """
    SELECT topic, partition, "offset", convert_from(key, 'LATIN1') AS key FROM (
      SELECT topic, partition, "offset", key, seq, max(seq) OVER (
        PARTITION BY topic, partition, key ORDER BY "offset"
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM inbox WHERE origin = 'topic') AS taken
    WHERE seq <= before
"""


async def _schemas(db: Connection) -> AsyncIterator[str]:
    """Go through the services' schemas, each in turn the one that plain table names mean."""
    for service, schema in SCHEMAS.items():
        await db.execute("SELECT set_config('search_path', $1, false)", schema)
        yield service


async def check_taken(db: Connection, log: TopicLog, prefix: str) -> Finding:
    """I9: no consumer missed an event or took one that was never published."""
    violations: list[str] = []
    taken_by_all = 0
    async for service in _schemas(db):
        taken = {
            row["event_id"]
            for row in await db.fetch(
                "SELECT event_id FROM inbox WHERE origin IS DISTINCT FROM 'edited'"
            )
        }
        taken_by_all += len(taken)
        violations += _differences(service, taken, await _poison(db, prefix), log)
        violations += await _never_taken(db, service, prefix)
    published = await _unpublished(db, log)
    return Finding.of(
        "I9",
        "every event on a topic is taken exactly once by each consumer that decides on its type",
        checked=f"{counted(log.counts.total(), 'record')}, {counted(taken_by_all, 'inbox row')}",
        violations=[*violations, *published],
        notes=[
            f"{counted(log.unusable, 'record')} without a usable id" if log.unusable else "",
            f"{', '.join(sorted(log.trimmed))}: the beginning is gone by retention"
            if log.trimmed
            else "",
        ],
    )


def _differences(
    service: str, taken: set[UUID], poison: set[Place], log: TopicLog
) -> Iterator[str]:
    wanted = log.heard_by(HEARD[service])
    for event, place in wanted.items():
        if event not in taken and place not in poison:
            yield f"{service} never took {event} at {_at(place)}"
    if log.trimmed.isdisjoint(HEARD[service]):
        for event in taken - wanted.keys():
            yield f"{service} took {event}, which is on no topic under a type it decides on"


def _at(place: Place) -> str:
    topic, partition, offset = place
    return f"{topic}[{partition}]@{offset}"


async def _poison(db: Connection, prefix: str) -> set[Place]:
    """Find where records stand that could not be read: they are set aside without a claim."""
    rows = await db.fetch(
        """SELECT topic, partition, "offset" FROM parked
           WHERE event_id IS NULL AND state IN ('skipped', 'discarded')"""
    )
    return {(row["topic"].removeprefix(prefix), row["partition"], row["offset"]) for row in rows}


async def _never_taken(db: Connection, service: str, prefix: str) -> list[str]:
    rows = await db.fetch(
        """SELECT event_id, parked.topic, state FROM parked LEFT JOIN inbox USING (event_id)
           WHERE event_id IS NOT NULL AND inbox.event_id IS NULL
             AND parked.topic = ANY($1::text[])""",
        [*EVENT_TOPICS, *(prefix + topic for topic in EVENT_TOPICS)],
    )
    return [
        f"{service} parked {row['event_id']} of {row['topic']} ({row['state']}) without taking it"
        for row in rows
    ]


async def _unpublished(db: Connection, log: TopicLog) -> list[str]:
    if log.trimmed:
        return []
    on_topics = log.every_id()
    rows = await db.fetch(
        """SELECT order_id, type, event_id FROM orders.order_events
           WHERE type NOT LIKE 'Saga%'"""  # notes of and for operators, never announced
    )
    return [
        f"{row['type']} {row['event_id']} of order {row['order_id']} never reached its topic"
        for row in rows
        if row["event_id"] not in on_topics
    ]


async def check_order(db: Connection) -> Finding:
    """I10: within a key, taken in the order in which it was published."""
    violations: list[str] = []
    rows = 0
    async for service in _schemas(db):
        rows += await db.fetchval("SELECT count(*) FROM inbox")
        violations += [
            f"{service} took {row['topic']}[{row['partition']}]@{row['offset']} of key"
            f" {row['key']!r} before an earlier one"
            for row in await db.fetch(OUT_OF_ORDER)
        ]
    return Finding.of(
        "I10",
        "per key, handling order = publish order",
        checked=counted(rows, "inbox row"),
        violations=violations,
    )


async def check_rest(db: Connection, lag: Mapping[tuple[str, str], int]) -> Finding:
    """I11: nothing waits anywhere."""
    violations = [
        f"{group} is {counted(behind, 'record')} behind on {topic}"
        for (group, topic), behind in lag.items()
    ]
    async for service in _schemas(db):
        if waiting := await db.fetchval("SELECT count(*) FROM outbox"):
            violations.append(f"{service}: {counted(waiting, 'outbox row')}")
        violations += [
            f"{service}: {counted(row['count'], 'parked message')} in state {row['state']}"
            for row in await db.fetch(
                """SELECT state, count(*) FROM parked WHERE state IN ('retry', 'dead')
                   GROUP BY state"""
            )
        ]
        if await db.fetchval("SELECT count(*) FROM consumer_halts"):
            violations.append(f"{service}: its consumer is halted")
    violations += [
        f"{counted(row['count'], 'saga')} {row['saga']}"
        for row in await db.fetch(
            """SELECT saga, count(*) FROM orders.orders
               WHERE saga NOT IN ('COMPLETED', 'COMPENSATED') GROUP BY saga"""
        )
    ]
    if asked := await db.fetchval("SELECT count(*) FROM orders.refunds WHERE state = 'REQUESTED'"):
        violations.append(f"{counted(asked, 'refund')} REQUESTED and neither made nor refused")
    return Finding.of(
        "I11",
        "at rest: outbox empty, lag 0, no retry or dead message, no open saga, no open refund",
        checked=f"{counted(len(SCHEMAS), 'service')}",
        violations=violations,
    )
