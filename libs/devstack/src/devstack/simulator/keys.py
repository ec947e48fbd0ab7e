"""Idempotency keys: one effect and one answer a key, however often the request comes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from devstack.simulator import refusals
from devstack.simulator.gateway import Answer, Operation
from devstack.simulator.ledger import Ledger, Stored
from devstack.simulator.moods import Mood
from devstack.simulator.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer as it goes over the wire, and what becomes of it."""

    status: int
    body: str
    mood: Mood = Mood.FINE
    delay: float = 0.0
    replayed: bool = False


class Keys:
    """Carries operations out once per key; a key is taken until its answer is on its way."""

    def __init__(self, ledger: Ledger) -> None:
        """Keep the answers in that ledger; which keys are taken dies with the process."""
        self._ledger = ledger
        self._taken: set[str] = set()

    @contextmanager
    def taking(self, key: str | None) -> Iterator[None]:
        """Take a key for one request, or refuse a request whose twin is still being answered."""
        if key is None:
            yield
            return
        if key in self._taken:
            raise refusals.key_in_use(key)
        self._taken.add(key)
        try:
            yield
        finally:
            self._taken.discard(key)

    def carry_out(self, operation: Operation, key: str | None, fingerprint: str) -> Outcome:
        """Answer from memory, or let the operation act and remember it, both or neither."""
        with self._ledger.transaction():
            if key is not None and (stored := self._ledger.find_answer(key)):
                if stored.fingerprint != fingerprint:
                    raise refusals.key_reused(key)
                return Outcome(stored.status, stored.body, replayed=True)
            try:
                answer = operation(key)
            except Refusal as refusal:
                answer = Answer(refusal.status, refusal.body)
            body = json.dumps(answer.body)
            if key is not None:
                self._ledger.store_answer(key, Stored(fingerprint, answer.status, body))
        return Outcome(answer.status, body, answer.mood, answer.delay)


def fingerprint_of(path: str, encoded: str) -> str:
    """Tell two requests apart, whatever the order of their parameters."""
    parameters = sorted(encoded.split("&"))
    return hashlib.sha256("&".join([path, *parameters]).encode()).hexdigest()
