"""What a process tells about itself: structured logs, trace context and the shared metrics."""

import asyncio
import logging
import re
import secrets
import sys
import time
import traceback
from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import MutableMapping, Sequence
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

import orjson
import structlog
from prometheus_client import Counter, Gauge, Histogram, Info
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from common.settings import ServiceSettings

correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)
"""Names the business story that the current work belongs to; follows it through every event."""

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""W3C trace context of the current work; its span id is this piece of work's own."""

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})"
)
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def child_of(parent: str | None) -> str:
    """Make a new span of the parent's trace, or the first span of a new one."""
    match = _TRACEPARENT.match(parent) if parent else None
    trace, flags = match.group("trace", "flags") if match else (secrets.token_hex(16), "00")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"


def trace_id() -> str | None:
    parent = traceparent.get()
    return parent[3:35] if parent else None


def begin_work(parent: str | None, correlation: str | None) -> None:
    """Set both contexts for the current task from what came in, believing only what is valid."""
    span = child_of(parent)
    traceparent.set(span)
    valid = correlation is not None and _CORRELATION_ID.fullmatch(correlation)
    correlation_id.set(correlation if valid else span[3:35])


LOG_FIELDS = frozenset(
    "timestamp level service event logger trace_id correlation_id "
    "order_id user_id event_id event_type topic partition offset key attempt duration_ms "
    "payment_id refund_id message_id product_id sku missing kind operation status saga "
    "reason code result outcome error error_class stack "
    "method route status_code retry_after name address port path version state count rows "
    "batch_size pending age_seconds lag delay_seconds next_at shard owner group schema_id "
    "revision signal exit_code dropped_fields".split()
)
"""Only these are written: ids and facts, never an object, a body, a token or a person."""

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_PERSONAL = re.compile(r"[^\s@<>'\"]+@[^\s@<>'\"]+|\b\d[\d -]{11,17}\d\b|\beyJ[\w.-]+")
_ERROR_LENGTH = 300
"""Enough for any message of ours; a driver's may carry a whole statement."""


def escape(text: str) -> str:
    """Make control characters, bidirectional marks and lone surrogates visible and harmless."""
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(lambda match: repr(match[0])[1:-1], text)


def redact(text: str) -> str:
    """Keep the first line, without what looks like an address, a card number or a token."""
    first = text.partition("\n")[0][:_ERROR_LENGTH]
    return _PERSONAL.sub("[redacted]", first)


def _add_context(_logger: object, _method: str, entry: EventDict) -> EventDict:
    parent, correlation = traceparent.get(), correlation_id.get()
    if parent is not None:
        entry.setdefault("trace_id", parent[3:35])
    if correlation is not None:
        entry.setdefault("correlation_id", correlation)
    return entry


def _flatten_exception(_logger: object, _method: str, entry: EventDict) -> EventDict:
    """Replace exc_info by class, redacted first line and code locations: no values of locals."""
    info = entry.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        entry["error_class"] = f"{type(error).__module__}.{type(error).__qualname__}"
        entry["error"] = redact(str(error))
        frames = traceback.extract_tb(error.__traceback__)[-12:]
        entry["stack"] = " < ".join(
            f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}"
            for frame in reversed(frames)
        )
    return entry


def _allow_listed(_logger: object, _method: str, entry: EventDict) -> EventDict:
    kept: EventDict = {}
    dropped: list[str] = []
    for name, value in entry.items():
        if name not in LOG_FIELDS:
            dropped.append(name)
        elif value is None or isinstance(value, bool | int | float):
            kept[name] = value
        elif isinstance(value, list | tuple | set | frozenset):
            kept[name] = [escape(str(item)) for item in value]
        else:
            kept[name] = escape(str(value))
    if dropped:
        kept["dropped_fields"] = sorted(dropped)
    return kept


def _redact_foreign(_logger: object, _method: str, entry: EventDict) -> EventDict:
    entry["event"] = redact(str(entry["event"]))
    return entry


def _strip_foreign(_logger: object, _method: str, entry: EventDict) -> EventDict:
    entry.pop("_record", None)
    entry.pop("_from_structlog", None)
    return entry


def _to_json(entry: MutableMapping[str, Any], **_options: object) -> str:
    return orjson.dumps(entry).decode()


def _render(log_format: str) -> Processor:
    if log_format == "console":
        return structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), pad_event_to=0)
    return structlog.processors.JSONRenderer(serializer=_to_json)


def configure_logging(settings: ServiceSettings, service: str) -> None:
    """Send our own and every library's log lines through one pipeline to standard output."""

    def add_service(_logger: object, _method: str, entry: EventDict) -> EventDict:
        entry["service"] = service
        return entry

    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    common: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        _add_context,
        _flatten_exception,
    ]
    last: list[Processor] = [_allow_listed, _render(settings.log_format)]
    structlog.configure(
        processors=[*common, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name, _redact_foreign],
            processors=[_strip_foreign, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def get_logger() -> FilteringBoundLogger:
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


class LoopLag:
    """Measures how late the event loop runs: a late loop misses heartbeats and is expelled."""

    def __init__(self, interval: float = 0.5) -> None:
        self._interval = interval

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            due = time.monotonic() + self._interval
            try:
                await asyncio.wait_for(stop.wait(), self._interval)
            except TimeoutError:
                EVENT_LOOP_LAG.set(max(0.0, time.monotonic() - due))


def announce_build(service: str) -> None:
    BUILD.info({"service": service, "version": version("pedido-common")})


_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"pedido_{name}", text, labels)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"pedido_{name}", text, labels)


class Distribution(Histogram):
    """A histogram that takes a batch's observations at once."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Do what observing each would, with a lock for each bucket instead of two for each."""
        for place, count in Counted(bisect_left(self._upper_bounds, at) for at in amounts).items():
            self._buckets[place].inc(count)
        self._sum.inc(sum(amounts))


def _histogram(
    name: str, text: str, *labels: str, buckets: tuple[float, ...] = _FAST
) -> Distribution:
    return Distribution(f"pedido_{name}", text, labels, buckets=buckets)


BUILD = Info("pedido_build", "What is running")
EVENT_LOOP_LAG = _gauge("event_loop_lag_seconds", "How late the event loop ran last")
HTTP_REQUESTS = _counter("http_requests_total", "Answered", "route", "method", "status")
HTTP_DURATION = _histogram("http_request_duration_seconds", "Time to answer", "route", "method")
DB_POOL = _gauge("db_pool_connections", "Connections of the pool", "state")
OUTBOX_PENDING = _gauge("outbox_pending_rows", "Announced and not yet at the broker")
OUTBOX_OLDEST = _gauge("outbox_oldest_pending_age_seconds", "Age of the oldest of those")
OUTBOX_PUBLISHED = _counter("outbox_published_total", "Acknowledged by the broker", "topic")
OUTBOX_DELAY = _histogram("outbox_relay_delay_seconds", "From append to acknowledgement")
OUTBOX_LEADER = _gauge("outbox_relay_leader", "Shards that this process relays")
CONSUMED = _counter("consumer_messages_total", "Records by outcome", "topic", "type", "result")
BATCH_SIZE = _histogram("consumer_batch_size", "Records of one transaction", buckets=_SIZES)
BATCH_DURATION = _histogram("consumer_processing_seconds", "From poll to the database's commit")
EVENT_AGE = _histogram("consumer_event_age_seconds", "Age of an event when handled", buckets=_SLOW)
CONSUMER_LAG = _gauge("consumer_lag_records", "Records not yet taken", "topic", "partition")
CONSUMER_WITHHELD = _gauge("consumer_withheld_partitions", "Not read: see what is logged")
CONSUMER_HALTED = _gauge("consumer_halted", "1 while an operator must resume the consumer")
DEAD_LETTERS = _counter("dlt_messages_total", "Copied to the dead-letter topic", "reason")
PARKED_KEYS = _gauge("parked_keys", "Keys that wait behind a failed message")
REPLAYED = _counter("replayed_total", "Parked messages tried again", "result")
BREAKER_STATE = _gauge("circuit_breaker_state", "1 for the state it is in", "name", "state")
BREAKER_CALLS = _counter("circuit_breaker_calls_total", "Calls by outcome", "name", "result")
BREAKER_TRANSITIONS = _counter(
    "circuit_breaker_transitions_total", "Changes by the state that they led to", "name", "state"
)
IDEMPOTENCY = _counter("idempotency_requests_total", "Keyed requests by outcome", "result")
RATE_LIMITED = _counter("rate_limited_total", "Requests refused for their rate", "bucket")
LIMITS_SHARED = _gauge("rate_limits_shared", "0 while each process counts by itself")
