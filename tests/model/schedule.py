"""What happens next: somebody hurries, somebody lags, and now and then there is a mishap."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from uuid import UUID

from order_service.domain import Choice, Order
from payment_service.domain.answers import Errand
from payment_service.domain.payment import Kind

from tests.model.charging import Late
from tests.model.participant import Participant
from tests.model.provider import Mood
from tests.model.topics import Stream
from tests.model.world import World

Move = tuple[str, Callable[[], None]]
"""Who moves, and what it does."""

LONG = 5_000
"""Moves after which a world that has not come to rest never will."""

EAGER = 0.8
"""How often whoever hurries most goes first; what lags is overtaken by whole sagas."""

PROMPT = 0.05
"""How often an operator replays what was set aside while there is anything else to do."""

TURN = 0.03
"""How often somebody else is in a hurry from now on."""


class Mishap(StrEnum):
    """What may befall a move."""

    AGAIN = "the message comes again"
    ASIDE = "an operator takes the message out of the way, and replays it later"
    DISCARDED = "an answer to a closing is thrown away for good"
    FORGOTTEN = "a charge is on its way for so long that two looks don't see it"
    MOODY = "the provider answers badly, or not"
    TOLD = "the provider tells of what it did by webhooks"
    UNTRUE = "a webhook tells of another amount"


MOODS = tuple(Mood)

_OFTEN = {
    Mishap.AGAIN: 0.1,
    Mishap.ASIDE: 0.3,
    Mishap.DISCARDED: 0.3,
    Mishap.FORGOTTEN: 0.4,
    Mishap.MOODY: 0.3,
    Mishap.UNTRUE: 0.3,
}


@dataclass
class Schedule:
    """Moves the world on, one thing at a time."""

    world: World
    chance: random.Random
    mishaps: frozenset[Mishap]
    left: int = 20
    """Mishaps still to come: at some time, each world is left in peace."""
    ranks: defaultdict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self.ranks = defaultdict(self.chance.random)
        self.world.mail.registered = Mishap.TOLD in self.mishaps

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._step(list(self._moves()))

    def drain(self) -> None:
        """Let everything that is under way come to its end, in some order."""
        for _ in range(LONG):
            moves = list(self._moves()) or list(self._replays())
            if not moves and not self.world.ask_again():
                return
            self._step(moves)
        raise AssertionError("the world does not come to rest")

    def regret(self) -> None:
        """Let some who got what they ordered send pieces back, or everything."""
        for order in self.world.completed():
            for _ in range(self.chance.choice((0, 0, 1, 2))):
                amount = self.chance.randint(1, order.total)
                self.world.ask_refund(order, amount, self.chance.randint(0, 3))
                self.run(self.chance.randint(0, 20))
            if self.chance.random() < 0.3:
                self.world.cancel(self.world.orders.orders[order.order_id])

    def _step(self, moves: list[Move]) -> None:
        """Make one of these moves, if there are any."""
        if self.chance.random() < PROMPT:
            moves += self._replays()
        if not moves:
            return
        if self.chance.random() < TURN:
            self.ranks.clear()
        if self.chance.random() < EAGER:
            first = min((lane for lane, _ in moves), key=self.ranks.__getitem__)
            moves = [move for move in moves if move[0] == first]
        _, act = self.chance.choice(moves)
        act()

    def _moves(self) -> Iterator[Move]:
        self.world.relay()
        for service in self.world.services:
            for stream in service.waiting():
                yield f"{service.name} hears {stream.topic}", partial(self._hear, service, stream)
            for key in service.parked:
                yield f"{service.name} retries", partial(service.retry, key, self.world.tick())
        for order in self.world.undecided():
            yield "customer", partial(self._decide, order)
        yield from self._moves_of_the_till()

    def _replays(self) -> Iterator[Move]:
        for service in self.world.services:
            if service.skipped:
                yield f"{service.name} replays", partial(service.replay, self.world.tick())

    def _moves_of_the_till(self) -> Iterator[Move]:
        till = self.world.till
        for order_id in till.idle():
            yield "lease", partial(self._lease, order_id)
        for errand in till.errands:
            yield "call", partial(self._call, errand)
        for report in till.reports:
            yield "settle", partial(till.settle, report, self.world.tick())
        for late in till.late:
            yield "late", partial(self._arrive, late)
        for number in self.world.mail.waiting():
            yield "provider tells", partial(self._tell, number)

    def _hear(self, service: Participant, stream: Stream) -> None:
        if service is self.world.order and self._befalls(Mishap.DISCARDED):
            self.world.discard_answer(stream)
        elif self._befalls(Mishap.ASIDE):
            service.set_aside(stream)
        else:
            service.take([service.next_of(stream)], self.world.tick())
            service.offsets[stream] += not self._befalls(Mishap.AGAIN)

    def _decide(self, order: Order) -> None:
        """Let a customer decide, or never do so."""
        choice = self.chance.choice((*[Choice.ACCEPT_PARTIAL] * 3, Choice.CANCEL, None))
        if choice is None:
            self.world.expire(order)
        else:
            self.world.decide(order, choice)

    def _lease(self, order_id: UUID) -> None:
        old = self._befalls(Mishap.MOODY)
        late = self._befalls(Mishap.MOODY)
        self.world.till.lease(order_id, self.world.tick(), key_is_old=old, hold_is_old=late)

    def _call(self, errand: Errand) -> None:
        charges = errand.operation.kind in {Kind.AUTHORIZE, Kind.CAPTURE}
        if charges and self._befalls(Mishap.FORGOTTEN):
            self.world.lose_sight(errand, closed=self.chance.random() < 0.6)
            return
        moody = self._befalls(Mishap.MOODY)
        self.world.till.call(errand, self.chance.choice(MOODS) if moody else Mood.ANSWERS)

    def _tell(self, number: int) -> None:
        """Bring an event that nobody brought yet, and perhaps an old one once more."""
        self.world.mail.bring(number)
        if self._befalls(Mishap.AGAIN):
            self.world.mail.bring(self.chance.choice(sorted(self.world.mail.brought)))
        if self._befalls(Mishap.UNTRUE):
            self.world.mail.mislead(number)

    def _arrive(self, late: Late) -> None:
        self.world.till.arrive(late, self.world.tick(), heard=self.chance.random() < 0.5)

    def _befalls(self, mishap: Mishap) -> bool:
        if mishap not in self.mishaps or not self.left or self.chance.random() > _OFTEN[mishap]:
            return False
        self.left -= 1
        return True
