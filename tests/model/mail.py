"""The provider's webhooks in memory: what it did, at any time and often, and what it did not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from devstack.simulator.refusals import Body
from payment_service.domain.notice import ALARMING, Notice, Verdict, take_notice
from payment_service.domain.payment import Payment
from payment_service.gateway.webhook import Envelope, notice_of

from tests.model.rows import PaymentRows


@dataclass
class Mail:
    """Brings events to payment, as its handler takes them: each counts once."""

    rows: PaymentRows
    told: Sequence[Body]
    """All that the provider did, whether anybody was told of it or not."""
    registered: bool = False
    """Whether each of these is told at some time."""
    forgetful: bool = False
    """Payment lost its database: what is true may contradict what it knows meanwhile."""
    brought: set[int] = field(default_factory=set)
    counted: set[str] = field(default_factory=set)

    def waiting(self) -> list[int]:
        """Name the events that nobody brought yet."""
        if not self.registered:
            return []
        return [number for number in range(len(self.told)) if number not in self.brought]

    def bring(self, number: int) -> None:
        """Bring a true event, perhaps not for the first time; it never alarms."""
        self.brought.add(number)
        verdict = self._take(f"evt_{number}", self.told[number])
        assert self.forgetful or verdict not in ALARMING, (verdict, self.told[number])

    def mislead(self, number: int) -> None:
        """Bring an event with another amount: it alarms, and that is all."""
        told = self.told[number]
        before = dict(self.rows.payments), set(self.rows.due)
        verdict = self._take(f"evt_{number}_untrue", told | {"amount": told["amount"] + 1})
        assert verdict in {Verdict.MISMATCH, Verdict.UNKNOWN_PAYMENT}
        assert (self.rows.payments, self.rows.due) == before

    def _take(self, event_id: str, told: Body) -> Verdict:
        notice = _read(event_id, told)
        assert notice.order_id is not None
        payment = self.rows.payments.get(notice.order_id)
        if payment is None:
            self.counted.add(event_id)
            return Verdict.UNKNOWN_PAYMENT
        verdict, after = take_notice(payment, notice)
        _check_harmless(payment, after)
        if event_id not in self.counted:
            self.counted.add(event_id)
            self._save(notice.order_id, payment, after)
        return verdict

    def _save(self, order_id: UUID, before: Payment, after: Payment) -> None:
        if after != before:
            book = self.rows.lock([order_id])
            book.put(after)
            self.rows.save(book)


def _read(event_id: str, told: Body) -> Notice:
    event = {"id": event_id, "type": "told", "data": {"object": told}}
    notice = notice_of(Envelope.model_validate(event))
    assert notice is not None
    return notice


def _check_harmless(before: Payment, after: Payment) -> None:
    """See that a webhook settles nothing: it may have the provider asked, or asked sooner."""
    assert replace(after, attempt=before.attempt, delay=before.delay) == before
    if before.attempt is not None:
        assert after.attempt is not None
        assert replace(after.attempt, token=before.attempt.token) == before.attempt
