"""What every route of the operator's API needs: who asks, what it works on, the audit row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from common import audit
from common.auth import Principal, caller
from common.database import Database, Transaction
from common.deciding import Decider
from common.ops_shapes import Change
from common.repair import Moved
from common.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work on."""

    database: Database
    decider: Decider[Any]
    kafka: KafkaSettings
    edit: bool
    """Whether a dead letter may be replayed with another payload."""

    @property
    def group(self) -> str:
        """Name the consumer."""
        return self.decider.subscription.group


def _parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.ops
    return parts


PartsOf = Annotated[Parts, Depends(_parts_of)]
Operator = Annotated[Principal, Depends(caller("operator"))]


async def record(
    tx: Transaction,
    operator: Principal,
    action: str,
    *,
    target: str,
    note: str | None,
    moved: Moved,
) -> Change:
    """Write down who did what, in the transaction that does it, also when it changed nothing."""
    row_id = await audit.write(
        tx,
        operator.id,
        action,
        target=target,
        note=note,
        before=moved.before,
        after=moved.after,
    )
    return Change(
        changed=moved.changed,
        before=dict(moved.before),
        after=dict(moved.after),
        audit_id=row_id,
    )
