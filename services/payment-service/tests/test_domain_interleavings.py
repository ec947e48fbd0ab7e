"""Any order of events, answers, lost answers and late effects ends with the books in balance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from uuid import UUID, uuid4

from common.message import Event, Outcome
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from payment_service.consumers import DECISIONS
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
from payment_service.domain.notice import Notice, take_notice
from payment_service.domain.payment import Attempt, Book, Have, Kind, Payment, Wanted
from payment_service.domain.settling import settle
from payment_service.messages import (
    Money,
    OrderCancelRequested,
    OrderConfirmed,
    OrderExpired,
    OrderPlaced,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundRequested,
    StockReserved,
)
from typing_extensions import override

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
CUSTOMER = UUID("0198f3a0-0002-7000-8000-000000000002")
TOTAL = 2208
PATIENCE = Patience(*[timedelta(seconds=1)] * 4)

Mood = Literal["answer", "lost before", "lost after", "5xx", "5xx after", "busy", "away"]
MOODS: tuple[Mood, ...] = get_args(Mood)

PLACED = OrderPlaced(
    order_id=ORDER,
    customer_id=CUSTOMER,
    total=Money(amount=TOTAL, currency="GBP"),
    payment_method="pm_ok",
)
EVENTS: list[Event] = [
    PLACED,
    StockReserved(order_id=ORDER),
    OrderConfirmed(order_id=ORDER),
    OrderCancelRequested(order_id=ORDER),
    OrderExpired(order_id=ORDER),
    *(
        RefundRequested(
            order_id=ORDER,
            refund_id=UUID(int=number),
            amount=Money(amount=amount, currency="GBP"),
        )
        for number, amount in enumerate([678, 1530, TOTAL])
    ),
]


@dataclass(frozen=True)
class Job:
    """One leased attempt in the hands of a worker."""

    attempt: Attempt
    token: UUID


@dataclass
class Intent:
    """One charge in the provider's books."""

    status: Literal["held", "captured", "cancelled"] = "held"
    refunds: dict[UUID | None, int] = field(default_factory=dict)


class Provider:
    """The provider's ledger: an effect happens once a key, and its answer is kept, 5xx too."""

    def __init__(self, declines: set[Kind]) -> None:
        self.declines = declines
        self.intents: list[Intent] = []
        self.kept: dict[str, Answer] = {}
        self.captures = 0

    def call(self, job: Job, payment: Payment, mood: Mood) -> Answer:
        if mood == "away":
            return Postponed("breaker open", called=False)
        if mood == "busy":
            return Postponed("in use")
        if job.attempt.in_doubt or job.attempt.operation.kind is Kind.LOOK:
            return Unknown("timeout") if mood == "lost before" else self.look(job.attempt)
        if mood == "lost before":
            return Unknown("timeout")
        key = f"{job.attempt.operation}:{job.attempt.number}"
        if key not in self.kept:
            self.kept[key] = self._first(job.attempt, payment, mood)
        return Unknown("timeout") if mood == "lost after" else self.kept[key]

    def _first(self, attempt: Attempt, payment: Payment, mood: Mood) -> Answer:
        broken = Unknown("server error", look=True)
        if mood == "5xx":
            return broken
        answer = self.apply(attempt, payment)
        return broken if mood == "5xx after" else answer

    def apply(self, attempt: Attempt, payment: Payment) -> Answer:
        kind = attempt.operation.kind
        if kind in self.declines:
            return Declined("card_declined")
        if kind is Kind.AUTHORIZE:
            self.intents.append(Intent())
            return Succeeded(f"pi_{len(self.intents) - 1}")
        intent = self.intents[int((payment.intent_id or "").removeprefix("pi_"))]
        match kind, intent.status:
            case Kind.CAPTURE, "held":
                self.captures += 1
                intent.status = "captured"
            case Kind.VOID, "held":
                intent.status = "cancelled"
            case Kind.REFUND, "captured":
                refund = payment.refund(attempt.operation.refund_id)
                assert refund is not None
                assert sum(intent.refunds.values()) + refund.amount <= TOTAL
                assert refund.refund_id not in intent.refunds
                intent.refunds[refund.refund_id] = refund.amount
            case _:
                return Unknown("unexpected state", look=True)
        return Succeeded(payment.intent_id or "")

    def look(self, attempt: Attempt) -> Answer:
        found = next((i for i in self.intents if i.status != "cancelled"), None)
        match attempt.operation.kind:
            case Kind.AUTHORIZE | Kind.LOOK:
                done = found is not None
            case Kind.CAPTURE:
                done = found is not None and found.status == "captured"
            case Kind.VOID:
                if found is not None and found.status == "captured":
                    return Overtaken()
                done = found is None
            case Kind.REFUND:
                done = found is not None and attempt.operation.refund_id in found.refunds
        return Succeeded(f"pi_{self.intents.index(found) if found else 0}") if done else Untouched()


class Interleavings(RuleBasedStateMachine):
    """One order, its events in any order, and workers that lose leases and answers."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book({ORDER: Payment(ORDER)})
        self.provider = Provider(set())
        self.jobs: list[Job] = []
        self.reports: list[Report] = []
        self.said: list[Event] = []
        self.closings = 0

    @property
    def payment(self) -> Payment:
        return self.book.of(ORDER)

    def take(self, outcome: object) -> None:
        if isinstance(outcome, Outcome):
            self.said.extend(event for event in outcome.events if isinstance(event, Event))
            for payment in outcome.changes:
                assert isinstance(payment, Payment)
                self.book.put(payment)

    @rule(event=strategies.sampled_from(EVENTS))
    def hear(self, event: Event) -> None:
        self.closings += isinstance(event, OrderCancelRequested | OrderExpired)
        self.take(DECISIONS[type(event)](self.book, event))

    @rule(kind=strategies.sampled_from([Kind.AUTHORIZE, Kind.CAPTURE]))
    @precondition(lambda self: not self.provider.kept)
    def let_decline(self, kind: Kind) -> None:
        self.provider.declines.add(kind)

    @rule()
    @precondition(lambda self: self.payment.attempt is not None)
    def lease(self) -> None:
        """Also when another worker still has it: that one's lease ran out."""
        attempt = self.payment.attempt
        assert attempt is not None
        token = uuid4()
        leased = replace(attempt, calls=attempt.calls + 1, token=token)
        self.book.put(replace(self.payment, attempt=leased))
        self.jobs.append(Job(leased, token))

    @rule(data=strategies.data(), mood=strategies.sampled_from(MOODS))
    @precondition(lambda self: self.jobs)
    def call(self, data: strategies.DataObject, mood: Mood) -> None:
        job = self.jobs.pop(data.draw(strategies.integers(0, len(self.jobs) - 1)))
        self._report(job, mood)

    def _report(self, job: Job, mood: Mood) -> None:
        answer = self.provider.call(job, self.payment, mood)
        attempt = job.attempt
        self.reports.append(Report(ORDER, attempt.operation, attempt.number, job.token, answer))

    @rule(data=strategies.data(), keep=strategies.booleans())
    @precondition(lambda self: self.reports)
    def settle(self, data: strategies.DataObject, keep: bool) -> None:  # noqa: FBT001  drawn
        index = data.draw(strategies.integers(0, len(self.reports) - 1))
        report = self.reports[index] if keep else self.reports.pop(index)
        self.take(settle(self.payment, report, PATIENCE))

    @rule(mood=strategies.sampled_from(MOODS))
    @precondition(lambda self: self.payment.attempt is not None)
    def work(self, mood: Mood) -> None:
        """Do it all without anything in between, as nearly always."""
        self.lease()
        job = self.jobs.pop()
        self._report(job, mood)
        self.take(settle(self.payment, self.reports.pop(), PATIENCE))

    @rule(holds_money=strategies.booleans())
    @precondition(lambda self: self.provider.intents)
    def tell_uncalled(self, holds_money: bool) -> None:  # noqa: FBT001  drawn
        """Deliver a webhook: early, late, again, and perhaps no longer true."""
        notice = Notice(
            event_id="evt_1",
            type="payment_intent.succeeded",
            intent_id="pi_0",
            payment_id=self.payment.payment_id,
            order_id=ORDER,
            refund_id=None,
            amount=TOTAL,
            currency="GBP",
            holds_money=holds_money,
            is_refund=False,
            created_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
        self.book.put(take_notice(self.payment, notice)[1])

    @rule()
    @precondition(lambda self: self.reports)
    def crash_before_the_commit(self) -> None:
        self.reports.clear()

    @rule()
    @precondition(
        lambda self: (
            self.payment.answered and not self.provider.intents and self.payment.attempt is not None
        )
    )
    def a_charge_turns_up_after_all(self) -> None:
        """Show, after the closing was answered, what two looks could not see yet."""
        self.provider.intents.append(Intent())

    @invariant()
    def nobody_is_charged_twice(self) -> None:
        assert self.provider.captures <= 1
        assert len(self.provider.intents) <= 1

    @override
    def teardown(self) -> None:
        for _ in range(200):
            self._run_until_idle()
            if self.payment.attempt is None:
                break
        self._check_books()

    def _run_until_idle(self) -> None:
        """Let a worker whose provider is well do what is due; older jobs and answers come too."""
        if self.payment.attempt is not None:
            self.lease()
        for job in self.jobs:
            self._report(job, "answer")
        for report in self.reports:
            self.take(settle(self.payment, report, PATIENCE))
        self.jobs, self.reports = [], []

    def _check_books(self) -> None:
        payment = self.payment
        held = [intent for intent in self.provider.intents if intent.status == "held"]
        captured = TOTAL * self.provider.captures
        refunded = sum(sum(intent.refunds.values()) for intent in self.provider.intents)
        assert payment.attempt is None
        assert (payment.captured, payment.refunded) == (captured, refunded)
        if payment.wanted is Wanted.CLOSED:
            assert captured == refunded
            assert held == []
            assert self._answers() >= 1
        elif payment.wanted is Wanted.CAPTURED and payment.is_placed and not self.provider.declines:
            assert payment.have in {Have.CAPTURED, Have.REFUNDED}
            assert captured == TOTAL
        assert (self.closings > 0) is (payment.wanted is Wanted.CLOSED)
        assert sum(isinstance(event, PaymentDeclined) for event in self.said) <= 1

    def _answers(self) -> int:
        return sum(
            isinstance(event, PaymentVoided | PaymentRefunded) and event.closing
            for event in self.said
        )


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
