"""Payment's charger in memory: the real worker between a lease and a settling that may be lost."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from common.database import Database
from common.message import Event, Outcome, Said
from payment_service.charging import Charger, Pace
from payment_service.domain.answers import Answer, Errand, Patience, Postponed, Report, Unknown
from payment_service.domain.payment import Kind, Payment
from payment_service.domain.settling import settle
from payment_service.gateway.client import Client
from payment_service.gateway.provider import Provider as Carrier

from tests.model.mail import Mail
from tests.model.participant import Participant
from tests.model.provider import Call, Mood, Provider
from tests.model.rows import PaymentRows

LOOKS = 2
"""So many looks, far enough apart, see whatever is still on its way: that is what we rely on."""

PATIENCE = Patience(*[timedelta(seconds=1)] * 4)
_MINUTE = timedelta(minutes=1)
_PACE = Pace(
    timeout=_MINUTE,
    lease_for=_MINUTE,
    poll=_MINUTE,
    concurrency=1,
    key_life=_MINUTE,
    hold_life=_MINUTE,
)


@dataclass(eq=False)
class Late:
    """A call without an answer, on its way for so long that everybody has given it up."""

    call: Call
    errand: Errand
    looks: int = 0
    """How often the provider was looked at since, and nothing seen."""


@dataclass
class Till:
    """Leases, calls and settles one payment at a time, each step on its own."""

    payment: Participant
    rows: PaymentRows
    provider: Provider
    mail: Mail
    leases: int = 0
    errands: list[Errand] = field(default_factory=list)
    """Leased and not called yet."""
    reports: list[Report] = field(default_factory=list)
    """Answered and not settled yet."""
    late: list[Late] = field(default_factory=list)
    came_late: set[str] = field(default_factory=set)
    """Intents made after the closing of their order was answered."""
    numbers: defaultdict[UUID, int] = field(default_factory=lambda: defaultdict(lambda: 1))

    def __post_init__(self) -> None:
        # Neither is entered or connected: the worker only hands errands on to the client.
        carrier = Carrier(cast("Client", self.provider), clock_skew=_MINUTE)
        self._charger = Charger(cast("Database", None), carrier, _PACE, PATIENCE)

    def due(self) -> list[UUID]:
        """Name the orders that the charger would find, now or later."""
        return [order_id for order_id in self.rows.payments if order_id in self.rows.due]

    def idle(self) -> list[UUID]:
        """Name the orders that are due and that no worker has."""
        taken = {errand.order_id for errand in self.errands}
        taken |= {report.order_id for report in self.reports}
        return [order_id for order_id in self.due() if order_id not in taken]

    def lease(
        self, order_id: UUID, now: datetime, *, key_is_old: bool = False, hold_is_old: bool = False
    ) -> Errand:
        """Lease a payment, also one that another worker has: that one's lease ran out."""
        payment = self.rows.payments[order_id]
        attempt = payment.attempt
        assert attempt is not None
        self.leases += 1
        leased = replace(
            attempt,
            calls=attempt.calls + 1,
            token=UUID(int=self.leases),
            called_at=attempt.called_at or now,
            last_call_at=attempt.last_call_at if attempt.in_doubt else now,
        )
        self.rows.payments[order_id] = replace(payment, attempt=leased)
        looks = attempt.in_doubt or attempt.operation.kind is Kind.LOOK
        errand = _errand(self.rows.payments[order_id], now)
        errand = replace(
            errand,
            must_look=looks or (key_is_old and attempt.called_at is not None),
            is_late=hold_is_old and attempt.operation.kind is Kind.CAPTURE,
        )
        self.errands.append(errand)
        return errand

    def call(self, errand: Errand, mood: Mood) -> None:
        """Make a leased call, unless the lease went to another worker meanwhile."""
        self.errands.remove(errand)
        attempt = self.rows.payments[errand.order_id].attempt
        if attempt is None or attempt.token != errand.token:
            return
        self.reports.append(errand.report(self._work(errand, mood)))

    def _work(self, errand: Errand, mood: Mood) -> Answer:
        self.provider.mood = mood
        answer = _run(self._charger.work(errand))
        if errand.must_look and not isinstance(answer, Unknown | Postponed):
            for late in self.late:
                late.looks += late.errand.order_id == errand.order_id
        self.late += [Late(call, errand) for call in self.provider.overtake()]
        return answer

    def settle(self, report: Report, now: datetime) -> None:
        """Fold an answer in and say what it means, in one transaction."""
        if report in self.reports:
            self.reports.remove(report)
        book = self.rows.lock([report.order_id])
        payment = book.of(report.order_id)
        outcome = settle(payment, report, PATIENCE)
        if not isinstance(outcome, Outcome):
            return
        for changed in outcome.changes:
            assert isinstance(changed, Payment)
            book.put(changed)
        self.rows.save(book)
        self._number(report.order_id)
        events = [event for event in outcome.events if isinstance(event, Event)]
        self.payment.announce([Said(event, cause=payment.cause) for event in events], now)

    def _number(self, order_id: UUID) -> None:
        attempt = self.rows.payments[order_id].attempt
        if attempt and attempt.operation.kind is Kind.AUTHORIZE:
            self.numbers[order_id] = attempt.number

    def arrive(self, late: Late, now: datetime, *, heard: bool) -> None:
        """Let a call have its effect at last, if it may still; its worker may even hear of it."""
        self.late.remove(late)
        if not self._may_arrive(late, heard=heard):
            return
        before = set(self.provider.intents)
        self.provider.mood = Mood.ANSWERS
        self.provider.arrive(late.call)
        if self.rows.payments[late.errand.order_id].answered:
            self.came_late |= set(self.provider.intents) - before
        if heard:
            errand = replace(late.errand, must_look=False)
            self.settle(errand.report(self._work(errand, Mood.ANSWERS)), now)

    def _may_arrive(self, late: Late, *, heard: bool) -> bool:
        """Say whether a call may arrive that so many looks have not seen.

        A capture finds out what became of its intent, but a charge would be a second one: it may
        come only after the closing, when one more look, its own worker, or a webhook gives it away.
        """
        errand = late.errand
        if late.looks < LOOKS or errand.operation.kind is Kind.CAPTURE:
            return True
        answered = self.rows.payments[errand.order_id].answered
        is_last = errand.number == self.numbers[errand.order_id]
        is_charge = errand.operation.kind is Kind.AUTHORIZE
        noticed = heard or late.looks == LOOKS or self.mail.registered
        return answered and is_charge and is_last and noticed


def _errand(payment: Payment, now: datetime) -> Errand:
    attempt = payment.attempt
    assert attempt is not None
    refund = payment.refund(attempt.operation.refund_id)
    return Errand(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        operation=attempt.operation,
        number=attempt.number,
        calls=attempt.calls,
        token=attempt.token or UUID(int=0),
        lease_ends=time.monotonic() + 3600,
        must_look=False,
        amount=refund.amount if refund else payment.amount or 0,
        currency=payment.currency or "",
        payment_method=payment.payment_method or "",
        intent_id=payment.intent_id,
        called_from=attempt.called_at or now,
        called_to=attempt.last_call_at or now,
    )


def _run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run the worker; only its looks have a time-out and need a loop."""
    return RUNNER.run(work)


RUNNER = asyncio.Runner()
