"""The gateway's operations: each reads its parameters, moves money in the ledger, and answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from devstack.simulator import intents, refusals
from devstack.simulator.form import LIST_PARAMETERS, Form
from devstack.simulator.intents import Intent, Refund
from devstack.simulator.ledger import Ledger
from devstack.simulator.moods import Mood, refusal_of
from devstack.simulator.refusals import Body
from devstack.simulator.scripts import Script, script_of

_CREATE = frozenset(
    {
        "amount",
        "currency",
        "payment_method",
        "confirm",
        "capture_method",
        "error_on_requires_action",
        "payment_method_types[]",
        "off_session",
        "description",
    }
)
_CANCELLATION_REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body, and how they reach the client."""

    status: int
    body: Body
    mood: Mood = Mood.FINE
    delay: float = 0.0


Operation: TypeAlias = Callable[[str | None], Answer]
"""A request that was understood and is still to be carried out, under its idempotency key."""


News: TypeAlias = tuple[Body, str | None]
"""What something became, and how the event about it comes."""


class Gateway:
    """Stripe's payment intents with manual capture, and refunds."""

    def __init__(self, ledger: Ledger) -> None:
        """Keep everything in that ledger."""
        self._ledger = ledger
        self._news: list[News] = []

    def news(self) -> list[News]:
        """Hand over what happened since the last time."""
        news, self._news = self._news, []
        return news

    def create(self, encoded: str) -> Operation:
        """Authorise a new intent."""
        form = Form(encoded, _CREATE)
        if form.text("confirm") != "true" or form.text("capture_method") != "manual":
            raise refusals.invalid(
                "This gateway only takes confirm=true with capture_method=manual."
            )
        intent = Intent(
            id=intents.new_id("pi"),
            created=int(time.time()),
            amount=form.required_amount("amount"),
            currency=form.required("currency").lower(),
            payment_method=form.required("payment_method"),
            metadata=form.metadata(),
        )
        self._refuse_first(intent)
        return lambda key: self._authorise(intent, key)

    def capture(self, encoded: str, intent_id: str) -> Operation:
        """Take the money that is held."""
        form = Form(encoded, frozenset({"amount_to_capture"}))
        amount, metadata = form.amount("amount_to_capture"), form.metadata()
        return lambda key: self._capture(intent_id, amount, metadata, key)

    def cancel(self, encoded: str, intent_id: str) -> Operation:
        """Release the money that is held."""
        reason = Form(encoded, frozenset({"cancellation_reason"})).text("cancellation_reason")
        if reason not in (None, *_CANCELLATION_REASONS):
            allowed = ", ".join(_CANCELLATION_REASONS)
            message = f"Invalid cancellation_reason: must be one of {allowed}"
            raise refusals.invalid(message, param="cancellation_reason")
        return lambda key: self._cancel(intent_id, reason, key)

    def refund(self, encoded: str) -> Operation:
        """Give money back."""
        form = Form(encoded, frozenset({"payment_intent", "amount", "reason"}))
        intent_id, amount = form.required("payment_intent"), form.amount("amount")
        metadata = form.metadata()
        return lambda key: self._refund(intent_id, amount, metadata, key)

    def show_intent(self, intent_id: str) -> Body:
        """Show one intent."""
        return self._intent(intent_id).json()

    def show_refund(self, refund_id: str) -> Body:
        """Show one refund."""
        refund = self._ledger.find_refund(refund_id)
        if refund is None:
            raise refusals.unknown_object("refund", refund_id, param="id")
        return refund.json()

    def list_intents(self, encoded: str) -> Body:
        """List intents, the newest first."""
        window = Form(encoded, LIST_PARAMETERS).window()
        found = self._ledger.list_intents(window)
        return _page("/v1/payment_intents", found, window.limit)

    def list_refunds(self, encoded: str) -> Body:
        """List refunds, the newest first."""
        form = Form(encoded, LIST_PARAMETERS | {"payment_intent"})
        window = form.window()
        found = self._ledger.list_refunds(window, form.text("payment_intent"))
        return _page("/v1/refunds", found, window.limit)

    def _refuse_first(self, intent: Intent) -> None:
        """Turn an attempt away before it counts for its key, as a limit on calls does."""
        script = script_of(intent.payment_method)
        refusal = refusal_of(script.mood)
        if refusal and self._count_attempt(intent, script, None) == 1:
            raise refusal

    def _count_attempt(self, intent: Intent, script: Script, key: str | None) -> int:
        if not script.counts_attempts:
            return 1
        return self._ledger.count_attempt(_payment_of(intent, key))

    def _authorise(self, intent: Intent, key: str | None) -> Answer:
        script = script_of(intent.payment_method)
        attempt = self._count_attempt(intent, script, key)
        if attempt <= script.failures:
            raise refusals.broken()
        if script.decline_code is not None:
            refused = intent.declined(script.decline_code)
            self._ledger.save_intent(refused)
            self._tell(refused, script)
            raise refusals.declined(script.decline_code, refused.json())
        held = intent.authorised()
        self._ledger.save_intent(held)
        self._ledger.record_effect(held, "authorize", held.amount, key)
        self._tell(held, script)
        mood = script.mood if attempt == 1 else Mood.FINE
        return Answer(200, held.json(), mood=mood, delay=script.delay)

    def _capture(
        self, intent_id: str, amount: int | None, metadata: dict[str, str], key: str | None
    ) -> Answer:
        intent = self._intent(intent_id)
        script = script_of(intent.payment_method)
        if script.expires and intent.amount_capturable:
            intent = self._expire(intent)
        captured = replace(intent.captured(amount), metadata=intent.metadata | metadata)
        if script.capture_declined:
            raise refusals.declined("generic_decline", intent.json())
        self._ledger.save_intent(captured)
        self._ledger.record_effect(captured, "capture", captured.amount_received, key)
        self._tell(captured, script)
        return Answer(200, captured.json(), delay=script.delay)

    def _cancel(self, intent_id: str, reason: str | None, key: str | None) -> Answer:
        intent = self._intent(intent_id)
        cancelled = intent.cancelled(reason)
        self._ledger.save_intent(cancelled)
        if intent.amount_capturable:
            self._ledger.record_effect(cancelled, "cancel", intent.amount_capturable, key)
        script = script_of(intent.payment_method)
        self._tell(cancelled, script)
        return Answer(200, cancelled.json(), delay=script.delay)

    def _expire(self, intent: Intent) -> Intent:
        gone = intent.cancelled("automatic")
        self._ledger.save_intent(gone)
        self._ledger.record_effect(gone, "cancel", intent.amount_capturable, None)
        return gone

    def _refund(
        self, intent_id: str, amount: int | None, metadata: dict[str, str], key: str | None
    ) -> Answer:
        intent = self._intent(intent_id, param="payment_intent")
        script = script_of(intent.payment_method)
        if script.refund_refused and self._ledger.count_attempt(f"refund:{intent_id}") == 1:
            raise refusals.invalid("Insufficient funds.", code="balance_insufficient")
        before = self._ledger.refunded(intent_id)
        refund = Refund(
            id=intents.new_id("re"),
            created=int(time.time()),
            intent_id=intent_id,
            amount=intents.refunded(intent, amount, before=before),
            currency=intent.currency,
            metadata=metadata,
        )
        self._ledger.add_refund(refund)
        self._ledger.record_effect(intent, "refund", refund.amount, key)
        self._tell(refund, script)
        return Answer(200, refund.json(), delay=script.delay)

    def _tell(self, about: Intent | Refund, script: Script) -> None:
        self._news.append((about.json(), script.webhook))

    def _intent(self, intent_id: str, *, param: str = "intent") -> Intent:
        intent = self._ledger.find_intent(intent_id)
        if intent is None:
            raise refusals.unknown_object("payment_intent", intent_id, param=param)
        return intent


def _payment_of(intent: Intent, key: str | None) -> str:
    """Name what several attempts have in common, however many keys they use."""
    named = intent.metadata.get("payment_id") or intent.metadata.get("order_id") or key or intent.id
    return f"{intent.payment_method}:{named}"


def _page(url: str, found: Sequence[Intent | Refund], limit: int) -> Body:
    data = [entry.json() for entry in found[:limit]]
    return {"object": "list", "url": url, "has_more": len(found) > limit, "data": data}
