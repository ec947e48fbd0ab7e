"""Named places where a test may end, break or hold up the process; free unless one asks for it.

`FAILPOINTS` names places and what happens there, `FAILPOINTS_LOG` the file that counts how often
it did, across restarts: `relay.acknowledged=kill*2;shell.deciding=raise@3f`. The actions are
`kill`, `raise` and `block:SECONDS`; `*N` is how many times (once, unless it says so; `*0` is
always), `@KEY` limits it to keys that end so. In production the process refuses to start with it.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Failpoint(Protocol):
    """A place that was named: nothing happens there, or what was planned."""

    def __call__(self, name: str, key: bytes = b"", /) -> None: ...


_PLAN = re.compile(
    r"(?P<name>[a-z]+\.[a-z-]+)=(?P<action>kill|raise|block)(:(?P<seconds>\d+(\.\d+)?))?"
    r"(\*(?P<times>\d+))?(@(?P<key>[\w-]+))?"
)


class Injected(Exception):
    """A test asked for a failure here."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens at one place."""

    action: str
    seconds: float
    times: int
    key: bytes


@dataclass
class Armed:
    """Does at each place what was planned for it, and counts in a file that survives a kill."""

    plans: Mapping[str, Plan]
    log: Path
    _fired: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        """Learn what earlier lives of this process did."""
        if self.log.exists():
            self._fired.update(self.log.read_text().split())

    def __call__(self, name: str, key: bytes = b"", /) -> None:
        """Do what was planned for this place, unless it was done so often already."""
        plan = self.plans.get(name)
        if plan is None or not key.endswith(plan.key):
            return
        if plan.times and self._fired[name] >= plan.times:
            return
        self._fired[name] += 1
        with self.log.open("a") as log:
            log.write(f"{name}\n")
        self._act(plan, name)

    def _act(self, plan: Plan, name: str) -> None:
        if plan.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif plan.action == "raise":
            raise Injected(name)
        else:
            time.sleep(plan.seconds)  # the whole event loop, as a blocking call would


def armed(text: str, log: Path) -> Armed:
    """Read a plan; raises ValueError for a part that says nothing."""
    plans = {}
    for part in text.split(";"):
        match = _PLAN.fullmatch(part.strip())
        if match is None:
            message = f"FAILPOINTS: {part!r} is not NAME=ACTION"
            raise ValueError(message)
        plans[match["name"]] = Plan(
            match["action"],
            float(match["seconds"] or 0),
            int(match["times"] or 1),
            (match["key"] or "").encode(),
        )
    return Armed(plans, log)


def _nothing(_name: str, _key: bytes = b"", /) -> None:
    """Be what every place calls in production."""


def bound(environment: Mapping[str, str]) -> Failpoint:
    """Arm what the environment plans; ends the process where that would be an accident."""
    text = environment.get("FAILPOINTS")
    if not text:
        return _nothing
    if environment.get("APP_ENV") not in {"development", "test"}:
        sys.exit("FAILPOINTS breaks this process on purpose: unset it, or set APP_ENV=test")
    return armed(text, Path(environment["FAILPOINTS_LOG"]))


failpoint = bound(os.environ)
"""Call it with the place's name, and the message's key where there is one."""
