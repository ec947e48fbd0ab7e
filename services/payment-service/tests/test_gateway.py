"""Each way in which the simulator behaves, as the class of answer that it ends in."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from uuid import UUID, uuid4

import pytest
from payment_service.domain.answers import (
    Declined,
    Errand,
    Overtaken,
    Postponed,
    Succeeded,
    Unknown,
    Untouched,
)
from payment_service.domain.payment import Kind, Operation
from payment_service.gateway import wire
from payment_service.gateway.provider import Provider

from tests.support.gateway import RunningGateway


def errand(payment_method: str = "pm_ok") -> Errand:
    now = datetime.now(UTC)
    return Errand(
        order_id=uuid4(),
        payment_id=uuid4(),
        operation=Operation(Kind.AUTHORIZE),
        number=1,
        calls=1,
        token=uuid4(),
        lease_ends=monotonic() + 60,
        must_look=False,
        amount=2208,
        currency="GBP",
        payment_method=payment_method,
        intent_id=None,
        called_from=now,
        called_to=now,
    )


def then(before: Errand, kind: Kind, intent_id: str, *, amount: int = 2208) -> Errand:
    refund_id = uuid4() if kind is Kind.REFUND else None
    operation = Operation(kind, refund_id)
    return replace(before, operation=operation, intent_id=intent_id, amount=amount)


def again(before: Errand) -> Errand:
    return replace(before, calls=before.calls + 1)


async def authorised(provider: Provider, first: Errand) -> str:
    answer = await provider.call(first)
    assert isinstance(answer, Succeeded)
    return answer.intent_id


async def captured(provider: Provider, first: Errand) -> str:
    intent_id = await authorised(provider, first)
    assert await provider.call(then(first, Kind.CAPTURE, intent_id)) == Succeeded(intent_id)
    return intent_id


def effects(gateway: RunningGateway, order_id: UUID) -> list[tuple[str, int]]:
    query = "SELECT kind, amount FROM effects WHERE order_id = ? ORDER BY seq"
    return [(kind, amount) for kind, amount in gateway.rows(query, str(order_id))]


async def test_money_is_authorised_captured_and_returned_in_parts(
    provider: Provider, gateway: RunningGateway
) -> None:
    first = errand()
    intent_id = await captured(provider, first)

    part = await provider.call(then(first, Kind.REFUND, intent_id, amount=678))
    rest = await provider.call(then(first, Kind.REFUND, intent_id, amount=1530))

    assert part == rest == Succeeded(intent_id)
    assert effects(gateway, first.order_id) == [
        ("authorize", 2208),
        ("capture", 2208),
        ("refund", 678),
        ("refund", 1530),
    ]


async def test_an_authorisation_is_voided(provider: Provider, gateway: RunningGateway) -> None:
    first = errand()
    intent_id = await authorised(provider, first)

    assert await provider.call(then(first, Kind.VOID, intent_id)) == Succeeded(intent_id)
    assert effects(gateway, first.order_id) == [("authorize", 2208), ("cancel", 2208)]


async def test_the_same_key_charges_once(provider: Provider, gateway: RunningGateway) -> None:
    first = errand()

    answers = [await provider.call(again(first)) for _ in range(3)]

    assert len(set(answers)) == 1
    assert effects(gateway, first.order_id) == [("authorize", 2208)]


@pytest.mark.parametrize(
    ("token", "code"),
    [("pm_declined", "generic_decline"), ("pm_declined_insufficient_funds", "insufficient_funds")],
)
async def test_a_decline_is_an_answer_with_the_banks_code(
    provider: Provider, token: str, code: str
) -> None:
    first = errand(token)

    assert await provider.call(first) == Declined(code)
    assert await provider.look(again(first)) == Declined(code)


async def test_a_stored_server_error_is_looked_up_and_then_has_a_new_key(
    provider: Provider, gateway: RunningGateway
) -> None:
    first = errand("pm_error_5xx")

    assert await provider.call(first) == Unknown("server error 500")
    assert await provider.call(again(first)) == Unknown("server error 500", look=True)
    assert await provider.look(again(first)) == Untouched()

    second = replace(first, number=2)
    assert await provider.call(second) == Unknown("server error 500")
    third = replace(first, number=3)
    assert isinstance(await provider.call(third), Succeeded)
    assert effects(gateway, first.order_id) == [("authorize", 2208)]


async def test_an_answer_that_is_lost_comes_again_under_the_same_key(
    provider: Provider, gateway: RunningGateway
) -> None:
    first = errand("pm_answer_lost")

    assert isinstance(await provider.call(first), Unknown)
    assert isinstance(await provider.call(again(first)), Succeeded)
    assert effects(gateway, first.order_id) == [("authorize", 2208)]


async def test_a_time_out_is_unknown_and_the_same_key_tells(
    hasty_provider: Provider, provider: Provider, gateway: RunningGateway
) -> None:
    first = errand("pm_timeout")

    assert await hasty_provider.call(first) == Unknown("TimeoutError")
    answer = await provider.call(again(first))

    assert isinstance(answer, Succeeded | Postponed)
    assert effects(gateway, first.order_id) == [("authorize", 2208)]


@pytest.mark.slow
async def test_a_slow_answer_is_waited_for(provider: Provider) -> None:
    assert isinstance(await provider.call(errand("pm_slow")), Succeeded)


async def test_a_capture_that_is_declined_leaves_the_hold_to_be_voided(
    provider: Provider, gateway: RunningGateway
) -> None:
    first = errand("pm_capture_fails")
    intent_id = await authorised(provider, first)
    capture = then(first, Kind.CAPTURE, intent_id)

    assert await provider.call(capture) == Declined("generic_decline")
    assert await provider.look(again(capture)) == Untouched()
    assert await provider.call(then(first, Kind.VOID, intent_id)) == Succeeded(intent_id)
    assert effects(gateway, first.order_id) == [("authorize", 2208), ("cancel", 2208)]


async def test_the_same_key_for_another_amount_changes_nothing(
    provider: Provider, gateway: RunningGateway
) -> None:
    first = errand()
    await authorised(provider, first)

    other = await provider.call(replace(first, amount=1))

    assert other == Unknown("idempotency_error", look=True)
    assert effects(gateway, first.order_id) == [("authorize", 2208)]


async def test_a_look_finds_an_authorisation_by_our_metadata(provider: Provider) -> None:
    first = errand()
    intent_id = await authorised(provider, first)
    for _ in range(3):
        await authorised(provider, errand())

    assert await provider.look(first) == Succeeded(intent_id)
    assert await provider.look(replace(first, payment_id=uuid4())) == Untouched()


async def test_a_look_reads_every_page(provider: Provider) -> None:
    first = errand()
    intent_id = await authorised(provider, first)
    await asyncio.gather(*(authorised(provider, errand()) for _ in range(wire.PAGE)))

    assert await provider.look(first) == Succeeded(intent_id)


async def test_a_look_goes_no_further_than_the_time_of_the_calls(provider: Provider) -> None:
    first = errand()
    intent_id = await authorised(provider, first)
    hour = timedelta(hours=1)
    earlier = replace(first, called_from=first.called_from - hour, called_to=first.called_to - hour)

    for kind in (Kind.AUTHORIZE, Kind.LOOK):
        look = replace(earlier, operation=Operation(kind))
        assert await provider.look(look) == Untouched()
        longer = replace(look, called_to=first.called_to)
        assert await provider.look(longer) == Succeeded(intent_id)


async def test_looks_at_captures_voids_and_refunds_tell_what_became_of_them(
    provider: Provider,
) -> None:
    first = errand()
    intent_id = await authorised(provider, first)
    capture, void = then(first, Kind.CAPTURE, intent_id), then(first, Kind.VOID, intent_id)
    refund = then(first, Kind.REFUND, intent_id)

    assert await provider.look(capture) == await provider.look(void) == Untouched()
    await provider.call(capture)
    assert await provider.look(capture) == Succeeded(intent_id)
    assert await provider.look(void) == Overtaken()
    assert await provider.look(refund) == Untouched()
    await provider.call(refund)
    assert await provider.look(refund) == Succeeded(intent_id)


async def test_a_void_that_was_overtaken_by_the_capture_is_looked_up(provider: Provider) -> None:
    first = errand()
    void = then(first, Kind.VOID, await captured(provider, first))

    assert await provider.call(void) == Unknown("payment_intent_unexpected_state", look=True)
    assert await provider.look(again(void)) == Overtaken()


async def test_a_refund_of_nothing_left_is_looked_up(provider: Provider) -> None:
    first = errand()
    intent_id = await captured(provider, first)
    await provider.call(then(first, Kind.REFUND, intent_id))

    other = await provider.call(then(first, Kind.REFUND, intent_id))

    assert other == Unknown("charge_already_refunded", look=True)


async def test_a_refund_that_is_too_large_is_declined(provider: Provider) -> None:
    first = errand()
    intent_id = await captured(provider, first)

    answer = await provider.call(then(first, Kind.REFUND, intent_id, amount=2209))

    assert answer == Declined("invalid_request_error")


async def test_a_payment_that_the_provider_does_not_know_is_no_answer(provider: Provider) -> None:
    capture = then(errand(), Kind.CAPTURE, "pi_missing")

    assert await provider.call(capture) == Unknown("resource_missing", look=True)
    assert await provider.look(capture) == Unknown("resource_missing", look=True)


async def test_a_lease_that_is_nearly_over_ends_the_look(provider: Provider) -> None:
    late = replace(errand(), lease_ends=monotonic())

    assert await provider.look(late) == Unknown("look took too long")
