"""What each class of answer does to each operation, and to nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from common.message import Outcome, Stale
from payment_service.domain.answers import (
    Answer,
    Declined,
    Overtaken,
    Patience,
    Postponed,
    Report,
    Succeeded,
    Unknown,
    Untouched,
)
from payment_service.domain.payment import (
    Attempt,
    Goods,
    Have,
    Kind,
    Operation,
    Payment,
    Refund,
    RefundStatus,
    Wanted,
)
from payment_service.domain.settling import settle
from payment_service.messages import PaymentRefunded

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
REFUND = UUID("0198f3a0-0004-7000-8000-000000000004")
TOKEN = uuid4()
SECOND = timedelta(seconds=1)
PATIENCE = Patience(
    first_retry=timedelta(seconds=1),
    longest_retry=timedelta(seconds=60),
    look_again=timedelta(seconds=61),
    late_look=timedelta(seconds=600),
)

PLACED = Payment(ORDER, goods=Goods.WHOLE, amount=2208, currency="GBP", payment_method="pm_ok")
AUTHORIZED = replace(PLACED, have=Have.AUTHORIZED, intent_id="pi_1")
CAPTURED = replace(AUTHORIZED, have=Have.CAPTURED, captured=2208)
CLOSE = Refund(PLACED.close_refund_id, 2208)
STAFF = Refund(REFUND, 678)

SUCCEEDED = Succeeded("pi_1")
DECLINED = Declined("do_not_honor")
LOOK = Unknown("server error", look=True)


def waiting(payment: Payment, kind: Kind, refund: Refund | None = None) -> Payment:
    operation = Operation(kind, refund.refund_id if refund else None)
    return replace(
        payment,
        attempt=Attempt(operation, calls=1, token=TOKEN),
        refunds=(refund,) if refund else (),
    )


def closing(payment: Payment) -> Payment:
    return replace(payment, wanted=Wanted.CLOSED, answer_owed=True)


def answered(payment: Payment) -> Payment:
    return replace(payment, wanted=Wanted.CLOSED, answered=True, answer_owed=False)


AUTHORIZING = waiting(replace(PLACED, wanted=Wanted.AUTHORIZED), Kind.AUTHORIZE)
CAPTURING = waiting(replace(AUTHORIZED, wanted=Wanted.CAPTURED), Kind.CAPTURE)
VOIDING = waiting(closing(AUTHORIZED), Kind.VOID)
CLOSING_BACK = waiting(closing(CAPTURED), Kind.REFUND, CLOSE)
STAFF_BACK = waiting(replace(CAPTURED, wanted=Wanted.CAPTURED), Kind.REFUND, STAFF)
LOOKING = waiting(answered(PLACED), Kind.LOOK)


def settled(
    payment: Payment, *answers: Answer, patience: Patience = PATIENCE
) -> tuple[Payment, list[str]]:
    """Give the answers one after the other, each to the attempt that waits then."""
    said: list[str] = []
    for answer in answers:
        assert payment.attempt is not None
        leased = replace(payment.attempt, token=TOKEN)
        payment = replace(payment, attempt=leased)
        report = Report(ORDER, leased.operation, leased.number, TOKEN, answer)
        outcome = settle(payment, report, patience)
        assert isinstance(outcome, Outcome)
        said.extend(type(event).__name__ for event in outcome.events)
        for after in outcome.changes:
            assert isinstance(after, Payment)
            payment = after
    return payment, said


ENDED = [
    # what waits, the answer, what we have then, what is next, what is said
    (AUTHORIZING, SUCCEEDED, Have.AUTHORIZED, None, ["PaymentAuthorized"]),
    (AUTHORIZING, DECLINED, Have.DECLINED, None, ["PaymentDeclined"]),
    (closing(AUTHORIZING), SUCCEEDED, Have.AUTHORIZED, Kind.VOID, ["PaymentAuthorized"]),
    (closing(AUTHORIZING), DECLINED, Have.DECLINED, None, ["PaymentDeclined", "PaymentVoided"]),
    (CAPTURING, SUCCEEDED, Have.CAPTURED, None, ["PaymentCaptured"]),
    (CAPTURING, DECLINED, Have.CAPTURE_FAILED, None, ["PaymentCaptureFailed"]),
    (closing(CAPTURING), SUCCEEDED, Have.CAPTURED, Kind.REFUND, ["PaymentCaptured"]),
    (closing(CAPTURING), DECLINED, Have.CAPTURE_FAILED, Kind.VOID, ["PaymentCaptureFailed"]),
    (VOIDING, SUCCEEDED, Have.VOIDED, None, ["PaymentVoided"]),
    (VOIDING, Overtaken(), Have.CAPTURED, Kind.REFUND, ["PaymentCaptured"]),
    (answered(VOIDING), SUCCEEDED, Have.VOIDED, None, ["LatePaymentReversed"]),
    (
        closing(answered(VOIDING)),
        SUCCEEDED,
        Have.VOIDED,
        None,
        ["LatePaymentReversed", "PaymentVoided"],
    ),
    (CLOSING_BACK, SUCCEEDED, Have.REFUNDED, None, ["PaymentRefunded"]),
    (answered(CLOSING_BACK), SUCCEEDED, Have.REFUNDED, None, ["LatePaymentReversed"]),
    (STAFF_BACK, SUCCEEDED, Have.CAPTURED, None, ["PaymentRefunded"]),
    (STAFF_BACK, DECLINED, Have.CAPTURED, None, ["RefundFailed"]),
    (closing(STAFF_BACK), SUCCEEDED, Have.CAPTURED, Kind.REFUND, ["PaymentRefunded"]),
    (closing(STAFF_BACK), DECLINED, Have.CAPTURED, Kind.REFUND, ["RefundFailed"]),
    (LOOKING, SUCCEEDED, Have.AUTHORIZED, Kind.VOID, []),
    (LOOKING, DECLINED, Have.NONE, None, []),
    (LOOKING, Untouched(), Have.NONE, None, []),
]


@pytest.mark.parametrize(("payment", "answer", "have", "following", "said"), ENDED)
def test_an_answer_ends_the_operation_and_leads_to_the_next(
    payment: Payment, answer: Answer, have: Have, following: Kind | None, said: Sequence[str]
) -> None:
    after, heard = settled(payment, answer)

    assert after.have is have
    assert heard == said
    assert (after.attempt.operation.kind if after.attempt else None) is following


@pytest.mark.parametrize(
    "payment", [AUTHORIZING, CAPTURING, VOIDING, CLOSING_BACK, STAFF_BACK, LOOKING]
)
@pytest.mark.parametrize("answer", [Unknown("timeout"), Postponed("busy"), LOOK])
def test_what_is_not_known_is_asked_again_with_the_same_key(
    payment: Payment, answer: Answer
) -> None:
    after, said = settled(payment, answer)

    assert said == []
    assert after.attempt is not None
    assert payment.attempt is not None
    assert after.attempt.number == payment.attempt.number
    assert after.attempt.operation == payment.attempt.operation
    assert after.attempt.in_doubt is (answer is LOOK)
    assert after.delay is not None
    assert after.delay > timedelta(0)


def test_a_new_key_is_taken_after_two_looks_a_minute_apart() -> None:
    once, _ = settled(AUTHORIZING, LOOK, Untouched())
    twice, _ = settled(once, Untouched())

    assert once.attempt is not None
    assert (once.attempt.number, once.attempt.looks, once.delay) == (1, 1, PATIENCE.look_again)
    assert twice.attempt == Attempt(Operation(Kind.AUTHORIZE), number=2)
    assert twice.delay == timedelta(0)


def test_two_looks_that_show_nothing_end_an_authorisation_that_is_not_wanted_any_more() -> None:
    ended, said = settled(closing(AUTHORIZING), LOOK, Untouched(), Untouched())
    late, later = settled(ended, SUCCEEDED, SUCCEEDED)

    assert said == ["PaymentVoided"]
    assert ended.attempt is not None
    assert (ended.attempt.operation.kind, ended.delay) == (Kind.LOOK, PATIENCE.late_look)
    assert later == ["LatePaymentReversed"]
    assert late.have is Have.VOIDED


def test_the_last_look_is_for_all_calls_of_the_attempt() -> None:
    first = datetime(2026, 3, 1, tzinfo=UTC)
    attempt = Attempt(Operation(Kind.AUTHORIZE), called_at=first, last_call_at=first + SECOND)
    called = replace(closing(AUTHORIZING), attempt=replace(attempt, calls=2))

    ended, _ = settled(called, LOOK, Untouched(), Untouched())

    assert ended.attempt == replace(attempt, operation=Operation(Kind.LOOK))


def test_two_looks_end_a_capture_that_is_not_wanted_any_more() -> None:
    after, said = settled(closing(CAPTURING), LOOK, Untouched(), Untouched(), SUCCEEDED)

    assert after.have is Have.VOIDED
    assert said == ["PaymentVoided"]


def test_a_call_that_was_never_made_leaves_no_trace() -> None:
    after, said = settled(closing(AUTHORIZING), Postponed("breaker open", called=False))

    assert after.attempt is None
    assert said == ["PaymentVoided"]


@pytest.mark.parametrize("payment", [VOIDING, CLOSING_BACK], ids=["void", "refund"])
def test_what_a_closing_gives_back_is_tried_for_ever(payment: Payment) -> None:
    after, said = settled(payment, DECLINED, DECLINED, DECLINED)

    assert said == []
    assert after.attempt is not None
    assert after.attempt.number == 4
    assert after.delay is not None
    assert after.delay > timedelta(0)


def test_a_refund_that_staff_asked_for_never_answers_a_closing() -> None:
    payment = closing(waiting(CAPTURED, Kind.REFUND, replace(STAFF, amount=2208)))
    report = Report(ORDER, Operation(Kind.REFUND, REFUND), 1, TOKEN, SUCCEEDED)

    outcome = settle(payment, report, PATIENCE)

    assert isinstance(outcome, Outcome)
    first, second = outcome.events
    assert isinstance(first, PaymentRefunded)
    assert not first.closing
    assert type(second).__name__ == "PaymentVoided"


def test_the_closing_refund_counts_everything_refunded_so_far() -> None:
    before = replace(CLOSING_BACK, refunded=678, refunds=(replace(CLOSE, amount=1530),))
    report = Report(ORDER, Operation(Kind.REFUND, CLOSE.refund_id), 1, TOKEN, SUCCEEDED)

    outcome = settle(before, report, PATIENCE)

    assert isinstance(outcome, Outcome)
    fact = outcome.events[0]
    assert isinstance(fact, PaymentRefunded)
    assert (fact.amount.amount, fact.cumulative.amount, fact.closing) == (1530, 2208, True)


@pytest.mark.parametrize(
    ("operation", "number"),
    [(Operation(Kind.CAPTURE), 1), (Operation(Kind.AUTHORIZE), 2)],
    ids=["another operation", "another attempt"],
)
@pytest.mark.parametrize("answer", [SUCCEEDED, DECLINED, Unknown("timeout"), Untouched()])
def test_an_answer_that_nobody_waits_for_changes_nothing(
    operation: Operation, number: int, answer: Answer
) -> None:
    report = Report(ORDER, operation, number, TOKEN, answer)

    assert isinstance(settle(AUTHORIZING, report, PATIENCE), Stale)


def test_a_worker_that_lost_its_lease_postpones_nothing() -> None:
    report = Report(ORDER, Operation(Kind.AUTHORIZE), 1, uuid4(), Unknown("timeout"))

    assert isinstance(settle(AUTHORIZING, report, PATIENCE), Stale)


def test_an_authorisation_that_comes_after_the_answer_is_given_back() -> None:
    payment = answered(PLACED)
    report = Report(ORDER, Operation(Kind.AUTHORIZE), 1, TOKEN, Succeeded("pi_late"))

    outcome = settle(payment, report, PATIENCE)

    assert isinstance(outcome, Outcome)
    (adopted,) = outcome.changes
    assert isinstance(adopted, Payment)
    assert adopted.intent_id == "pi_late"
    assert adopted.attempt == Attempt(Operation(Kind.VOID))
    after, said = settled(adopted, SUCCEEDED)
    assert after.have is Have.VOIDED
    assert said == ["LatePaymentReversed"]
    assert isinstance(settle(after, report, PATIENCE), Stale)


@pytest.mark.parametrize("times", [0, 5, 40, 10_000])
def test_the_back_off_grows_to_its_cap_and_no_further(times: int) -> None:
    assert PATIENCE.retry(times) == min(timedelta(seconds=2 ** min(times, 10)), 60 * SECOND)


@pytest.mark.parametrize("answer", [Unknown("timeout"), Postponed("busy")], ids=["unknown", "busy"])
def test_a_retry_is_anywhere_between_at_once_and_its_longest_delay(
    answer: Unknown | Postponed,
) -> None:
    patiences = [replace(PATIENCE, luck=luck) for luck in (0, 0.25, 1)]

    delays = [settled(AUTHORIZING, answer, patience=each)[0].delay for each in patiences]

    assert delays == [0 * SECOND, 0.5 * SECOND, 2 * SECOND]


@pytest.mark.parametrize("luck", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", [Unknown, Postponed])
def test_the_time_that_the_provider_asks_for_is_never_shortened_and_those_after_it_spread(
    kind: type[Unknown | Postponed], luck: float
) -> None:
    answer = kind("busy", after=timedelta(seconds=90))

    after, _ = settled(AUTHORIZING, answer, patience=replace(PATIENCE, luck=luck))

    assert after.delay == (90 + 2 * luck) * SECOND


def test_refund_status_of_a_refused_refund_is_kept() -> None:
    after, _ = settled(STAFF_BACK, DECLINED)

    assert after.refunds == (replace(STAFF, status=RefundStatus.FAILED, code="do_not_honor"),)
