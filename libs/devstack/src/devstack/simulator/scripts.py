"""How a payment method misbehaves, told by its token."""

from __future__ import annotations

from dataclasses import dataclass

from devstack.simulator.moods import Mood

_DECLINED = "pm_declined"
_ANSWER = "pm_answer_"
_WEBHOOK = "pm_webhook_"


@dataclass(frozen=True, slots=True)
class Script:
    """What goes wrong, and where; by default nothing does."""

    decline_code: str | None = None
    capture_declined: bool = False
    failures: int = 0
    """So many attempts to authorise fail with 5xx, each stored for its key as Stripe does."""
    mood: Mood = Mood.FINE
    """How the first attempt to authorise is met."""
    refund_refused: bool = False
    """The first refund is refused; later ones are made."""
    expires: bool = False
    """What is held is gone when it is to be captured, as after seven days."""
    webhook: str | None = None
    """How the events of this payment come; unset as those of all others."""
    delay: float = 0.0
    """Seconds that every answer takes."""

    @property
    def counts_attempts(self) -> bool:
        """Whether a later attempt goes better than the first."""
        return bool(self.failures) or self.mood is not Mood.FINE


_SCRIPTS = {
    "pm_error_5xx": Script(failures=2),
    "pm_timeout": Script(mood=Mood.HANGS),
    "pm_slow": Script(delay=1.0),
    **{f"{_ANSWER}{mood.replace('-', '_')}": Script(mood=mood) for mood in Mood},
    "pm_capture_fails": Script(capture_declined=True),
    "pm_expires": Script(expires=True),
    "pm_refund_fails": Script(refund_refused=True),
}


def script_of(payment_method: str | None) -> Script:
    """Return the script of a token; an unknown token works."""
    if payment_method is None:
        return Script()
    if payment_method == _DECLINED:
        return Script(decline_code="generic_decline")
    if payment_method.startswith(f"{_DECLINED}_"):
        return Script(decline_code=payment_method.removeprefix(f"{_DECLINED}_"))
    if payment_method.startswith(_WEBHOOK):
        return Script(webhook=payment_method.removeprefix(_WEBHOOK).replace("_", "-"))
    return _SCRIPTS.get(payment_method, Script())
