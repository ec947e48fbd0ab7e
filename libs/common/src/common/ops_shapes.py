"""What the operator's API takes and answers."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar
from uuid import UUID

import asyncpg
from pydantic import Field

from common import repair
from common.http import PRINTABLE, Body, Moment, Params, Wire
from common.paging import PageQuery
from common.repair import GroupBy, ParkedFilter

T = TypeVar("T")

RunState = Literal["RUNNING", "PAUSED", "FLOODED"]
State = Literal["retry", "dead", "skipped", "discarded"]


Note = Annotated[str, Field(min_length=1, max_length=500, pattern=PRINTABLE)]
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]
Key = Annotated[
    str,
    Field(
        max_length=1000,
        pattern=r"^([A-Za-z0-9._~-]{1,200}|hex:([0-9a-fA-F]{2})*)$",
        examples=["01a20dcd-e6ee-7297-aec0-1f43457b0314"],
    ),
]
RowId = Annotated[int, Field(ge=1, lt=2**63)]


class MaybeNoted(Body):
    """Why it is done, if that is worth telling."""

    note: Note | None = None


class Noted(Body):
    """Why it is done: what was set aside or stopped is asked about later."""

    note: Note


class SkipHead(Noted):
    """Which message is set aside: the one that was seen at the head, and why."""

    head_id: RowId


class Edit(Noted):
    """The members that are to be different, as JSON; of a payload that can't be read, all."""

    payload: dict[str, Any]


class Change(Wire):
    """How many rows a write changed, and the states it found and left."""

    changed: int
    before: dict[str, int]
    after: dict[str, int]
    audit_id: int


class Listed(Wire, Generic[T]):
    """A list so short that it has one page."""

    data: list[T]


class Edited(Change):
    """The id under which the edited message is handled."""

    event_id: UUID


class OutboxQuery(Params):
    """How many refused rows to show."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20


class Refused(Wire):
    """An outbox row that the broker refuses for good."""

    id: int
    topic: str
    key: str | None
    type: str
    reason: str
    created_at: datetime


class Outbox(Wire):
    """What is announced and not yet at the broker."""

    depth: int
    oldest_age_seconds: float | None
    refused_count: int
    refused: list[Refused]


class PartitionLag(Wire):
    """One partition: where this database stands, and where the broker does."""

    topic: str
    partition: int
    position: int | None
    committed: int | None
    end_offset: int
    lag: int
    held_back: bool
    reason: str | None


class Lag(Wire):
    """How far behind its topics this service is."""

    group: str
    lag: int
    held_back: int
    partitions: list[PartitionLag]


class DeadLetter(Wire):
    """A message that was taken and not handled."""

    id: int
    state: State
    topic: str
    partition: int
    offset: int
    key: str | None
    event_id: UUID | None
    type: str | None
    error_class: str
    error: str
    attempt: int
    replays: int
    first_seen: datetime
    last_seen: datetime
    next_at: datetime | None
    state_record: bool

    @classmethod
    def of(cls, row: asyncpg.Record, **more: Any) -> Self:
        """Show a parked message."""
        return cls(
            **{name: row[name] for name in _PLAIN},
            key=repair.shown_key(row["key"]),
            first_seen=row["parked_at"],
            last_seen=row["failed_at"],
            next_at=row["next_at"] if row["state"] == "retry" else None,
            state_record=row["state_version"] is not None,
            **more,
        )


_PLAIN = "id state topic partition offset event_id type error_class error attempt replays".split()


class Header(Wire):
    """A header of the record, what is no text in it escaped."""

    name: str
    value: str


class Payload(Wire):
    """What a record says, as far as it can be read and may be shown."""

    form: Literal["decoded", "hex", "withheld", "absent"]
    size: int = 0
    type: str | None = None
    schema_id: int | None = None
    value: dict[str, Any] | None = None
    prefix: str | None = None
    reason: str | None = None


class DeadLetterDetail(DeadLetter):
    """A dead letter with its content."""

    headers: list[Header]
    payload: Payload


class Group(Wire):
    """Dead letters that have something in common."""

    value: str | None
    count: int
    first_seen: datetime
    last_seen: datetime


class Groups(Wire):
    """The largest groups."""

    groups: list[Group]


class ParkedKey(Wire):
    """A key that waits behind the message at its head."""

    key: str | None
    waiting: int
    since: datetime
    head: DeadLetter


class DeadLetterQuery(PageQuery):
    """Which dead letters to list, or to count."""

    state: State | None = None
    error_class: Text | None = None
    type: Text | None = None
    key: Key | None = None
    topic: Text | None = None
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None
    group_by: GroupBy | None = None

    @property
    def wanted(self) -> ParkedFilter:
        """Say it as the tables know it."""
        return _filter(self)


class JobFilter(Body):
    """Which dead letters a job replays."""

    state: Literal["dead", "skipped"] | None = None
    error_class: Text | None = None
    type: Text | None = None
    key: Key | None = None
    topic: Text | None = None
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None

    @property
    def wanted(self) -> ParkedFilter:
        """Say it as the tables know it."""
        return _filter(self)


def _filter(asked: DeadLetterQuery | JobFilter) -> ParkedFilter:
    return ParkedFilter(
        state=asked.state,
        error_class=asked.error_class,
        type_name=asked.type,
        key=repair.parse_key(asked.key) if asked.key is not None else None,
        topic=asked.topic,
        since=asked.from_,
        until=asked.to,
    )


class JobBody(Body):
    """Which dead letters are replayed, at how many a second, and how many at most."""

    filter: JobFilter
    rate: Annotated[float, Field(ge=0.1, le=1000, allow_inf_nan=False)] = 50
    max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    note: Note | None = None


class JobPlan(Wire):
    """What a job would replay, and what it would leave out because it came back too often."""

    matched: int
    left_out: int
    by_state: dict[str, int]
    by_type: dict[str, int]
    by_error_class: dict[str, int]
    sample: list[DeadLetter]


class ReplayJob(Wire):
    """A replay job and how far it is."""

    job_id: UUID
    state: Literal["RUNNING", "DONE", "CANCELLED"]
    filter: dict[str, str | None]
    rate: float
    max: int
    note: str | None
    created_by: UUID
    created_at: datetime
    finished_at: datetime | None = None
    matched: int
    replayed: int = 0
    left_out: int = 0
    left_out_ids: list[int] = Field(default_factory=list)

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        """Show a job."""
        plain = [name for name in cls.model_fields if name != "filter"]
        return cls(filter=json.loads(row["asked"]), **{name: row[name] for name in plain})


class ConsumerState(Wire):
    """Whether this service reads its topics, and why not."""

    consumer: str
    state: RunState
    reason: str | None
    since: datetime | None
    paused_by: UUID | None


class BreakerState(Wire):
    """A circuit breaker of one process, as that process last wrote it down."""

    name: str
    instance: str
    state: str
    since: datetime
    seen_at: datetime


class AuditQuery(PageQuery):
    """Which acts to list."""

    action: Text | None = None
    target: Text | None = None
    principal: UUID | None = None
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None


class Act(Wire):
    """Who did what, to what, why, and what changed."""

    id: int
    at: datetime
    principal: UUID
    action: str
    target: str
    note: str | None
    before: dict[str, int]
    after: dict[str, int]
    correlation_id: str | None
