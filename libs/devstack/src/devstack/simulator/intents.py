"""What may happen to a payment intent and its refunds: values in, values out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace

from devstack.simulator import refusals
from devstack.simulator.refusals import Body

LARGEST_AMOUNT = 99_999_999
"""Stripe's own limit: eight digits in the currency's smallest unit."""
_CANCELLABLE = ("requires_payment_method", "requires_confirmation", "requires_capture")


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment from the first attempt to its end."""

    id: str
    created: int
    amount: int
    currency: str
    payment_method: str | None
    metadata: dict[str, str]
    status: str = "requires_confirmation"
    amount_capturable: int = 0
    amount_received: int = 0
    decline_code: str | None = None
    cancellation_reason: str | None = None

    @property
    def charge(self) -> str | None:
        """The charge's id: there is one as soon as a bank said yes."""
        return f"ch_{self.id[3:]}" if self.amount_capturable or self.amount_received else None

    def authorised(self) -> Intent:
        """Hold the money."""
        return replace(self, status="requires_capture", amount_capturable=self.amount)

    def declined(self, decline_code: str) -> Intent:
        """Hold nothing, and wait for another payment method."""
        return replace(self, status="requires_payment_method", decline_code=decline_code)

    def captured(self, amount: int | None) -> Intent:
        """Take the money or a part of it; what is left is released."""
        if self.status != "requires_capture":
            raise refusals.unexpected_state(
                "This PaymentIntent could not be captured because it has a status of "
                f"{self.status}. Only a PaymentIntent with one of the following statuses may be "
                "captured: requires_capture.",
                self.json(),
            )
        taken = self.amount_capturable if amount is None else amount
        if taken > self.amount_capturable:
            raise refusals.invalid(
                f"Amount to capture ({taken}) is greater than the amount that can be captured"
                f" ({self.amount_capturable}).",
                code="amount_too_large",
                param="amount_to_capture",
            )
        return replace(self, status="succeeded", amount_capturable=0, amount_received=taken)

    def cancelled(self, reason: str | None) -> Intent:
        """Release what is held, for good."""
        if self.status not in _CANCELLABLE:
            raise refusals.unexpected_state(
                f"You cannot cancel this PaymentIntent because it has a status of {self.status}."
                " Only a PaymentIntent with one of the following statuses may be canceled: "
                f"{', '.join(_CANCELLABLE)}.",
                self.json(),
            )
        return replace(self, status="canceled", amount_capturable=0, cancellation_reason=reason)

    def json(self) -> Body:
        """Show the intent as Stripe would."""
        return {
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": self.amount_capturable,
            "amount_received": self.amount_received,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": "manual",
            "confirmation_method": "automatic",
            "created": self.created,
            "currency": self.currency,
            "last_payment_error": self._last_payment_error(),
            "latest_charge": self.charge,
            "livemode": False,
            "metadata": self.metadata,
            "next_action": None,
            "payment_method": self.payment_method if self.decline_code is None else None,
            "payment_method_types": ["card"],
            "status": self.status,
        }

    def _last_payment_error(self) -> Body | None:
        if self.decline_code is None:
            return None
        return {
            "type": "card_error",
            "code": "card_declined",
            "decline_code": self.decline_code,
            "message": "Your card was declined.",
        }


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back."""

    id: str
    created: int
    intent_id: str
    amount: int
    currency: str
    metadata: dict[str, str] = field(default_factory=dict)
    status: str = "succeeded"

    def json(self) -> Body:
        """Show the refund as Stripe would."""
        return {
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "charge": f"ch_{self.intent_id[3:]}",
            "created": self.created,
            "currency": self.currency,
            "metadata": self.metadata,
            "payment_intent": self.intent_id,
            "reason": None,
            "status": self.status,
        }


def refunded(intent: Intent, amount: int | None, *, before: int) -> int:
    """Return how much to give back, given what was before."""
    if intent.status != "succeeded":
        raise refusals.unexpected_state(
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.",
            intent.json(),
        )
    left = intent.amount_received - before
    if left == 0:
        raise refusals.invalid(
            f"Charge {intent.charge} has already been refunded.", code="charge_already_refunded"
        )
    if amount is not None and amount > left:
        raise refusals.invalid(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            param="amount",
        )
    return left if amount is None else amount


def new_id(kind: str) -> str:
    """Return an id in Stripe's form, `pi_…` or `re_…`."""
    return f"{kind}_{secrets.token_hex(12)}"
