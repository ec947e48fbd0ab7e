from datetime import timedelta
from uuid import UUID

import pytest
from notification_service.domain import deliveries
from notification_service.domain.deliveries import (
    Answered,
    Call,
    Delivery,
    Health,
    Unanswered,
    Untried,
)

DELIVERY = UUID("0198f3a0-0001-7000-8000-000000000001")
ENDPOINT = UUID("0198f3a0-0002-7000-8000-000000000002")
TOKEN = UUID("0198f3a0-0004-7000-8000-000000000004")
NOW = timedelta()
SCHEDULE = (timedelta(seconds=5), timedelta(minutes=5), timedelta(hours=1))


def delivery(attempt: int = 1, endpoint: UUID = ENDPOINT) -> Delivery:
    return Delivery(
        delivery_id=DELIVERY,
        endpoint_id=endpoint,
        url="https://shop.example/hook",
        sealed_secrets=(b"sealed",),
        payload="{}",
        attempt=attempt,
        token=TOKEN,
        lease_ends=0.0,
    )


def settled(call: Call, attempt: int = 1, luck: float = 0.0) -> deliveries.Settlement:
    return deliveries.settle(delivery(attempt), call, schedule=SCHEDULE, luck=luck)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_delivery(status: int) -> None:
    assert settled(Answered(status, NOW)).status == "DELIVERED"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (301, "redirected"),
        (307, "redirected"),
        (400, "refused"),
        (500, "refused"),
        (199, "refused"),
    ],
)
def test_anything_else_is_tried_again(status: int, outcome: str) -> None:
    settlement = settled(Answered(status, NOW))

    assert (settlement.status, settlement.outcome) == ("PENDING", outcome)


@pytest.mark.parametrize(
    ("attempt", "status", "delay"),
    [
        (1, "PENDING", timedelta(seconds=5)),
        (2, "PENDING", timedelta(minutes=5)),
        (3, "PENDING", timedelta(hours=1)),
        (4, "FAILED", NOW),
    ],
)
def test_the_schedule_says_when_and_after_it_a_delivery_has_failed(
    attempt: int, status: str, delay: timedelta
) -> None:
    settlement = settled(Unanswered("timeout", NOW), attempt)

    assert (settlement.status, settlement.delay) == (status, delay)


def test_what_failed_together_is_not_tried_again_together() -> None:
    delays = {settled(Unanswered("timeout", NOW), luck=luck).delay for luck in (0.0, 0.5, 1.0)}

    assert delays == {timedelta(seconds=seconds) for seconds in (5, 5.5, 6)}


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        (timedelta(seconds=1), timedelta(seconds=5)),
        (timedelta(minutes=2), timedelta(minutes=2)),
        (timedelta(days=30), timedelta(days=1)),
    ],
    ids=["sooner", "later", "never"],
)
def test_a_merchant_may_ask_for_more_time_within_reason(
    asked: timedelta, waited: timedelta
) -> None:
    assert settled(Answered(503, NOW, asked)).delay == waited


def test_what_was_not_tried_is_due_at_once_and_not_logged() -> None:
    settlement = settled(Untried(), attempt=9)

    assert (settlement.status, settlement.delay, settlement.outcome) == ("PENDING", NOW, None)


def test_one_success_among_failures_shows_that_an_endpoint_works() -> None:
    found = deliveries.health_of(
        [settled(Answered(500, NOW)), settled(Answered(200, NOW)), settled(Untried())]
    )

    assert found == [Health(ENDPOINT, works=True, gone=False)]


def test_an_endpoint_that_says_it_is_gone_is() -> None:
    assert deliveries.health_of([settled(Answered(410, NOW))]) == [
        Health(ENDPOINT, works=False, gone=True)
    ]


def test_secrets_do_not_show_where_a_delivery_is_printed() -> None:
    assert "sealed" not in repr(delivery()).replace("sealed_secrets", "")
