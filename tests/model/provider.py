"""A payment provider in memory, with Stripe's rules: effects, keys and the answers kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from uuid import UUID

from devstack.simulator import intents, refusals
from devstack.simulator.intents import Intent, Refund
from devstack.simulator.refusals import Body, Refusal
from devstack.simulator.scripts import script_of
from payment_service.gateway.client import Interrupted, Reply, Unreachable
from payment_service.gateway.wire import Form


class Mood(StrEnum):
    """What becomes of one call."""

    ANSWERS = "answers"
    LOST_BEFORE = "lost before it had an effect"
    LOST_AFTER = "lost after its effect"
    LATE = "without an answer, and on its way for long"
    BROKEN = "5xx for its key, nothing done"
    BROKEN_AFTER = "5xx for its key, done all the same"
    PROXY = "5xx of something in between"
    BUSY = "409"
    AWAY = "no connection"


STUBBORN = "pm_stubborn"
"""Refuses to give up or give back at the first attempt, then does."""

CARD = "pm_4242424242424242"
"""No token: the provider must never see it."""

METHODS = ("pm_ok", "pm_ok", "pm_declined", "pm_capture_fails", STUBBORN, CARD)


@dataclass
class Call:
    """One request on the wire."""

    path: str
    form: Form
    key: str


@dataclass
class Provider:
    """Stands where the HTTP client is: answers, or raises what the client would raise."""

    mood: Mood = Mood.ANSWERS
    intents: dict[str, Intent] = field(default_factory=dict)
    refunds: list[Refund] = field(default_factory=list)
    kept: dict[str, tuple[Call, Reply]] = field(default_factory=dict)
    late: list[Call] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    told: list[Body] = field(default_factory=list)
    """What became of intents and refunds, as webhooks tell it."""

    async def post(self, path: str, form: Form, key: str) -> Reply:
        """Carry a call out as the mood has it."""
        call = Call(path, form, key)
        match self.mood:
            case Mood.AWAY:
                raise Unreachable("no connection")
            case Mood.BUSY:
                return _refused(refusals.key_in_use(key))
            case Mood.PROXY:
                return Reply(502, {})
            case Mood.LOST_BEFORE:
                raise Interrupted("connection reset")
            case Mood.LATE:
                self.late.append(call)
                raise Interrupted("timeout")
            case _:
                return self._answer(call)

    def _answer(self, call: Call) -> Reply:
        reply = self.arrive(call)
        if self.mood is Mood.LOST_AFTER:
            raise Interrupted("timeout")
        return reply

    async def get(self, path: str, query: Form) -> Reply:
        """Show an intent, or list what there is."""
        if self.mood is Mood.AWAY:
            raise Unreachable("no connection")
        if self.mood is not Mood.ANSWERS:
            raise Interrupted("timeout")
        if path == "/v1/refunds":
            shown = [r.json() for r in self.refunds if r.intent_id == query["payment_intent"]]
            return _page(shown)
        if path == "/v1/payment_intents":
            return _page([intent.json() for intent in self.intents.values()])
        return Reply(200, self.intents[path.rsplit("/", 1)[1]].json())

    def arrive(self, call: Call) -> Reply:
        """Act once a key; a twin gets the answer that is kept."""
        if known := self.kept.get(call.key):
            first, reply = known
            if (first.path, first.form) != (call.path, call.form):
                return _refused(refusals.key_reused(call.key))
            return replace(reply, replayed=True)
        reply = _refused(refusals.broken())
        if self.mood is not Mood.BROKEN:
            acted = _attempt(lambda: self._act(call))
            reply = reply if self.mood is Mood.BROKEN_AFTER else acted
        self.kept[call.key] = call, reply
        return reply

    def _act(self, call: Call) -> Body:
        if call.path == "/v1/payment_intents":
            return self._authorise(call.form)
        if call.path == "/v1/refunds":
            return self._refund(call.form)
        identity, verb = call.path.removeprefix("/v1/payment_intents/").split("/")
        intent = self.intents[identity]
        if verb == "capture":
            if script_of(intent.payment_method).capture_declined:
                raise refusals.declined("expired", intent.json())
            intent = intent.captured(int(call.form["amount_to_capture"]))
        else:
            self._refuse_first(intent, f"{identity}:cancel")
            intent = intent.cancelled(None)
        self.intents[identity] = intent
        return self._tell(intent)

    def _authorise(self, form: Form) -> Body:
        assert form["payment_method"] != CARD
        metadata = {name: form[f"metadata[{name}]"] for name in ("order_id", "payment_id")}
        intent = Intent(
            id=f"pi_{len(self.intents)}",
            created=0,
            amount=int(form["amount"]),
            currency=form["currency"],
            payment_method=form["payment_method"],
            metadata=metadata,
        )
        code = script_of(intent.payment_method).decline_code
        after = intent.authorised() if code is None else intent.declined(code)
        self.intents[after.id] = after
        self._tell(after)
        if code is not None:
            raise refusals.declined(code, after.json())
        return after.json()

    def _refund(self, form: Form) -> Body:
        intent = self.intents[form["payment_intent"]]
        refund_id = form["metadata[refund_id]"]
        self._refuse_first(intent, refund_id)
        amount = intents.refunded(intent, int(form["amount"]), before=self.given_back(intent))
        refund = Refund(
            id=f"re_{len(self.refunds)}",
            created=0,
            intent_id=intent.id,
            amount=amount,
            currency=intent.currency,
            metadata={**intent.metadata, "refund_id": refund_id},
        )
        self.refunds.append(refund)
        return self._tell(refund)

    def _tell(self, about: Intent | Refund) -> Body:
        self.told.append(about.json())
        return self.told[-1]

    def _refuse_first(self, intent: Intent, effect: str) -> None:
        if intent.payment_method == STUBBORN and effect not in self.refused:
            self.refused.add(effect)
            raise refusals.declined("try_again_later", intent.json())

    def overtake(self) -> list[Call]:
        """Hand over the calls that are on their way for long."""
        late, self.late = self.late, []
        return late

    def given_back(self, intent: Intent) -> int:
        """Sum an intent's refunds."""
        return sum(refund.amount for refund in self.refunds if refund.intent_id == intent.id)

    def charges(self, order_id: UUID) -> list[Intent]:
        """Find what the bank ever said yes to for an order."""
        return [
            intent
            for intent in self.intents.values()
            if intent.metadata["order_id"] == str(order_id) and intent.decline_code is None
        ]

    def holds(self, intent: Intent) -> bool:
        """Tell whether any of the customer's money is here."""
        if intent.status == "requires_capture":
            return True
        return intent.amount_received != self.given_back(intent)

    def knows_all_attempts(self) -> bool:
        """Tell whether no attempt was ever given up for one that never arrived."""
        keys = (key.rsplit(":", 1) for key in self.kept)
        return all(int(n) == 1 or f"{name}:{int(n) - 1}" in self.kept for name, n in keys)


def _attempt(act: Callable[[], Body]) -> Reply:
    try:
        return Reply(200, act())
    except Refusal as refusal:
        return _refused(refusal)


def _refused(refusal: Refusal) -> Reply:
    return Reply(refusal.status, refusal.body)


def _page(shown: list[Body]) -> Reply:
    return Reply(200, {"data": shown[::-1], "has_more": False})
