import asyncio
import io
import json
import logging
import sys
import time
from collections.abc import Iterator
from uuid import UUID

import pytest
import structlog
from common import telemetry
from common.settings import ServiceSettings

CANARIES = ["4111 1111 1111 1111", "ana@example.com", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"]


class Lines:
    """What was written to standard output, as JSON."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def raw(self) -> str:
        return self._stream.getvalue()

    def read(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.raw.splitlines()]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Lines]:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    settings = ServiceSettings(log_format=getattr(request, "param", "json"))
    root = logging.getLogger()
    before = root.handlers[:], root.level
    ours = structlog.get_config()
    telemetry.configure_logging(settings, "order-service")
    yield Lines(stream)
    root.handlers[:], root.level = before[0], before[1]
    structlog.configure(**ours)


@pytest.fixture(autouse=True)
def _own_context() -> Iterator[None]:
    tokens = telemetry.traceparent.set(None), telemetry.correlation_id.set(None)
    yield
    telemetry.traceparent.reset(tokens[0])
    telemetry.correlation_id.reset(tokens[1])


def test_a_line_carries_the_service_and_the_ids_of_its_work(lines: Lines) -> None:
    order = UUID(int=7)
    telemetry.begin_work(None, "checkout-1")

    telemetry.get_logger().info("stock rejected", order_id=order, missing=["BLUE"])

    (line,) = lines.read()
    assert line["event"] == "stock rejected"
    assert line["service"] == "order-service"
    assert line["order_id"] == str(order)
    assert line["missing"] == ["BLUE"]
    assert line["correlation_id"] == "checkout-1"
    assert line["trace_id"] == telemetry.trace_id()


def test_a_field_that_is_not_listed_is_dropped_by_name(lines: Lines) -> None:
    telemetry.get_logger().info("customer registered", email="ana@example.com", user_id=3)

    (line,) = lines.read()
    assert "ana@example.com" not in lines.raw
    assert line["dropped_fields"] == ["email"]
    assert line["user_id"] == 3


every_escape = pytest.mark.parametrize(
    "text",
    ["a\r\nb", "\x1b[31mred\x1b[0m", "\x9b31m", "\u202egnp.exe", "half \ud800", "nul \x00"],
    ids=["CRLF", "ANSI", "C1", "bidi", "surrogate", "NUL"],
)


@every_escape
def test_control_characters_are_written_escaped(lines: Lines, text: str) -> None:
    telemetry.get_logger().info(text, reason=text, missing=[text])

    (line,) = lines.read()
    assert lines.raw.count("\n") == 1
    for value in (line["event"], line["reason"], line["missing"]):
        assert "\\" in str(value)
        assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in str(value))


@every_escape
@pytest.mark.parametrize("lines", ["console"], indirect=True)
def test_a_person_at_a_console_reads_them_escaped_too(lines: Lines, text: str) -> None:
    telemetry.get_logger().info(text, reason=text, missing=[text])
    logging.getLogger("somebody.else").warning(text)

    assert lines.raw.count("\n") == 2
    assert telemetry.escape(lines.raw.replace("\n", "")) == lines.raw.replace("\n", "")


@pytest.mark.parametrize("canary", CANARIES, ids=["card number", "e-mail", "token"])
def test_an_exception_is_logged_by_place_and_without_values(lines: Lines, canary: str) -> None:
    def fail() -> None:
        message = f"refused {canary}\nDETAIL: {canary}"
        raise ValueError(message)

    try:
        fail()
    except ValueError:
        telemetry.get_logger().exception("message failed")

    (line,) = lines.read()
    assert canary not in lines.raw
    assert "DETAIL" not in lines.raw
    assert line["error_class"] == "builtins.ValueError"
    assert "test_telemetry.py" in str(line["stack"])


@pytest.mark.parametrize("canary", CANARIES, ids=["card number", "e-mail", "token"])
def test_a_library_line_takes_the_same_way_out(lines: Lines, canary: str) -> None:
    logging.getLogger("somebody.else").warning("sent %s", canary)

    (line,) = lines.read()
    assert canary not in lines.raw
    assert line["logger"] == "somebody.else"
    assert line["service"] == "order-service"


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_work_continues_the_trace_that_came_in_under_its_own_span() -> None:
    telemetry.begin_work(PARENT, None)

    mine = telemetry.traceparent.get()
    assert mine is not None
    assert mine[:35] == PARENT[:35]
    assert mine[36:52] != PARENT[36:52]
    assert mine[-2:] == "01"
    assert telemetry.correlation_id.get() == PARENT[3:35]


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        "garbage",
        PARENT.replace("00-", "ff-", 1),
        PARENT.upper(),
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        "\n" + PARENT,
    ],
    ids=["none", "empty", "garbage", "version", "upper", "zero trace", "zero span", "newline"],
)
def test_an_unusable_trace_is_replaced_by_a_new_one(parent: str | None) -> None:
    first, second = telemetry.child_of(parent), telemetry.child_of(parent)

    assert telemetry.child_of(first)[3:35] == first[3:35]
    assert first[3:35] != second[3:35]


@pytest.mark.parametrize("given", ["a b", "x" * 65, "a\r\nb", "", "ñ"])
def test_an_unusable_correlation_id_is_replaced_by_the_trace(given: str) -> None:
    telemetry.begin_work(PARENT, given)

    assert telemetry.correlation_id.get() == PARENT[3:35]


async def test_the_lag_gauge_sees_a_blocked_loop() -> None:
    stop = asyncio.Event()
    telemetry.EVENT_LOOP_LAG.set(0)
    task = asyncio.create_task(telemetry.LoopLag(interval=0.01).run(stop))
    await asyncio.sleep(0)

    time.sleep(0.05)  # noqa: ASYNC251 - blocking the loop is what is measured
    async with asyncio.timeout(10):
        while telemetry.EVENT_LOOP_LAG._value.get() == 0:
            await asyncio.sleep(0)
    lag = telemetry.EVENT_LOOP_LAG._value.get()
    stop.set()
    await task

    assert 0.03 < lag < 5


def test_observing_all_at_once_is_observing_each() -> None:
    amounts = [0.0, 0.001, 0.0011, 3, 10, 11, 11]
    each, together = (
        telemetry.Distribution("seconds", "For this test", registry=None) for _ in range(2)
    )

    for amount in amounts:
        each.observe(amount)
    together.observe_all(amounts)

    assert samples(together) == samples(each)


def samples(metric: telemetry.Distribution) -> list[object]:
    """Read all but when it was made."""
    (family,) = metric.collect()
    return [each for each in family.samples if not each.name.endswith("_created")]
