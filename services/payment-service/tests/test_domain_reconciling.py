"""What counts as a difference between the provider's list and ours."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from payment_service.domain.payment import Have, Payment, Refund, RefundStatus, Wanted
from payment_service.domain.reconciling import (
    IntentTold,
    Reason,
    RefundTold,
    Told,
    differences,
)

ORDER = UUID("0198f3a0-0001-7000-8000-000000000001")
REFUND = UUID("0198f3a0-0003-7000-8000-000000000003")

HELD = Payment(
    ORDER,
    wanted=Wanted.AUTHORIZED,
    have=Have.AUTHORIZED,
    amount=2208,
    currency="GBP",
    intent_id="pi_1",
)
TAKEN = replace(HELD, have=Have.CAPTURED, captured=2208)
RETURNED = replace(TAKEN, refunded=678, refunds=(Refund(REFUND, 678, RefundStatus.SUCCEEDED),))
NOTHING = replace(HELD, have=Have.DECLINED, intent_id=None)

HOLD = IntentTold("pi_1", HELD.payment_id, "requires_capture", 2208, 0, "GBP")
CHARGE = replace(HOLD, status="succeeded", received=2208)
RELEASE = replace(HOLD, status="canceled")
BACK = RefundTold("re_1", "pi_1", REFUND, 678, "GBP")


@pytest.mark.parametrize(
    ("payment", "intents", "refunds", "reasons"),
    [
        (HELD, [HOLD], [], []),
        (TAKEN, [CHARGE], [], []),
        (RETURNED, [CHARGE], [BACK], []),
        (replace(HELD, have=Have.VOIDED), [RELEASE], [], []),
        (replace(HELD, have=Have.CAPTURE_FAILED), [HOLD], [], []),
        (NOTHING, [replace(HOLD, status="requires_payment_method")], [], []),
        (HELD, [HOLD, replace(RELEASE, id="pi_0")], [], []),
        (HELD, [HOLD, replace(HOLD, id="pi_2")], [], [Reason.UNACCOUNTED]),
        (NOTHING, [HOLD], [], [Reason.UNACCOUNTED]),
        (HELD, [], [], [Reason.MISSING]),
        (HELD, [replace(HOLD, amount=2209)], [], [Reason.AMOUNT]),
        (HELD, [replace(HOLD, currency="EUR")], [], [Reason.AMOUNT]),
        (HELD, [RELEASE], [], [Reason.STATE]),
        (HELD, [CHARGE], [], [Reason.STATE]),
        (TAKEN, [replace(CHARGE, received=1)], [], [Reason.STATE]),
        (TAKEN, [CHARGE], [BACK], [Reason.REFUND_UNKNOWN]),
        (TAKEN, [CHARGE], [replace(BACK, refund_id=None)], [Reason.REFUND_UNKNOWN]),
        (RETURNED, [CHARGE], [replace(BACK, amount=1)], [Reason.REFUND_AMOUNT]),
        (RETURNED, [CHARGE], [], [Reason.REFUND_MISSING]),
        (RETURNED, [CHARGE], [BACK, replace(BACK, id="re_2")], [Reason.REFUND_UNKNOWN]),
        (HELD, [HOLD, replace(HOLD, id="pi_9", payment_id=REFUND)], [], [Reason.UNKNOWN_PAYMENT]),
        (HELD, [HOLD, replace(CHARGE, id="pi_9", payment_id=None)], [], [Reason.UNKNOWN_PAYMENT]),
        (HELD, [HOLD, replace(RELEASE, id="pi_9", payment_id=None)], [], []),
    ],
)
def test_every_difference_has_a_reason(
    payment: Payment, intents: list[IntentTold], refunds: list[RefundTold], reasons: list[Reason]
) -> None:
    found = differences([payment], Told(tuple(intents), tuple(refunds)))

    assert [each.reason for each in found] == reasons
    assert all(each.ours and each.theirs for each in found)
