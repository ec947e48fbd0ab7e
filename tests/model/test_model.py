"""The four services' real decisions under every mishap: whatever happens, every order ends well."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import StrEnum
from functools import partial
from typing import TypeVar
from uuid import UUID

import hypothesis.strategies as st
import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from order_service.domain import Choice, PlaceOrder, WantedLine
from order_service.domain.order import OPEN
from typing_extensions import override

from tests.model.charging import RUNNER
from tests.model.promises import check_money, check_quiet, check_rebuilt, check_stock
from tests.model.provider import METHODS, Mood
from tests.model.schedule import Mishap, Schedule
from tests.model.world import CATALOGUE, CUSTOMER, World

T = TypeVar("T")

ORDERS = 4
"""More than share a shelf would only make a failure longer to read."""

LINES = st.dictionaries(st.sampled_from(sorted(CATALOGUE)), st.integers(1, 2), min_size=1)
FEW = st.integers(1, 2) | st.integers(1, 8)
"""Often so few pieces that a customer has to decide."""
PICK = st.integers(0, 30)
MOODS = st.sampled_from(Mood)


PLENTY = 100
"""Pieces that are found when the shelves are counted: what was sold before is so once more."""

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "300"))
"""Enough for every run of the tests; `make model` asks for many more."""

pytestmark = pytest.mark.timeout(60 + 2 * EXAMPLES)  # a failure is made small before it is shown

_SHOWN_EVERY = 500
_seen = itertools.count(1)


def _count_example() -> None:
    """Show how far a long run is."""
    if not (done := next(_seen)) % _SHOWN_EVERY:
        print(f"{done} of {EXAMPLES} examples", flush=True)  # noqa: T201  a quarter of an hour


def pick(number: int, things: list[T]) -> T:
    return things[number % len(things)]


class Ending(StrEnum):
    """What befalls a world that has come to rest."""

    NOTHING = "nothing"
    REPLAYED = "all topics are read again, with all inboxes empty"
    INVENTORY_LOST = "inventory's database is lost, and the shelves are counted anew"
    PAYMENT_LOST = "payment's database is lost"
    NOTIFICATION_LOST = "notification's database is lost"


class Saga(RuleBasedStateMachine):
    """Rules are what people, clocks, brokers, crashes and the provider do."""

    world: World
    schedule: Schedule

    @initialize(
        stock=FEW,
        partial=st.just(frozenset(CATALOGUE)) | st.frozensets(st.sampled_from(sorted(CATALOGUE))),
        seed=st.integers(0, 2**16),
        mishaps=st.frozensets(st.sampled_from(Mishap)),
        ending=st.sampled_from(Ending),
        carts=st.lists(st.tuples(LINES, st.sampled_from(METHODS)), min_size=1, max_size=ORDERS - 1),
    )
    def begin(
        self,
        stock: int,
        partial: frozenset[str],
        seed: int,
        mishaps: frozenset[Mishap],
        ending: Ending,
        carts: list[tuple[dict[str, int], str]],
    ) -> None:
        self.world = World(stock, partial)
        chance = random.Random(seed)  # noqa: S311  chance, not secrecy
        self.schedule = Schedule(self.world, chance, mishaps)
        self.ending = ending
        for lines, method in carts:
            self.place(lines, method)

    @rule(lines=LINES, method=st.sampled_from(METHODS))
    @precondition(lambda self: len(self.world.orders.orders) < ORDERS)
    def place_another(self, lines: dict[str, int], method: str) -> None:
        self.place(lines, method)

    def place(self, lines: dict[str, int], method: str) -> None:
        wanted = tuple(WantedLine(sku, quantity) for sku, quantity in sorted(lines.items()))
        order_id = UUID(int=len(self.world.orders.orders) + 1)
        self.world.place(PlaceOrder(order_id, CUSTOMER, wanted, method))

    @rule(steps=st.integers(1, 20))
    def go_on(self, steps: int) -> None:
        self.schedule.run(steps)

    @rule(steps=st.integers(1, 40))
    def hurry(self, steps: int) -> None:
        """Let others be in a hurry, and others lag."""
        self.schedule.ranks.clear()
        self.schedule.run(steps)

    @rule(of=st.integers(0, 3))
    def deliver_a_batch(self, of: int) -> None:
        service = self.world.services[of]
        streams = service.waiting()
        service.take([service.next_of(stream) for stream in streams], self.world.tick())
        for stream in streams:
            service.offsets[stream] += 1

    @rule(of=st.integers(0, 3), number=PICK, committed=st.booleans())
    def crash_before_the_offset_moves(self, of: int, number: int, committed: bool) -> None:  # noqa: FBT001  drawn
        service = self.world.services[of]
        if streams := service.waiting():
            record = service.next_of(pick(number, streams))
            if committed:
                service.take([record], self.world.tick())
            else:
                service.rehearse(record, self.world.tick())

    @rule(of=st.integers(0, 3), number=PICK)
    def park(self, of: int, number: int) -> None:
        service = self.world.services[of]
        if streams := service.waiting():
            stream = pick(number, streams)
            service.park(service.next_of(stream))
            service.offsets[stream] += 1

    @rule(of=st.integers(0, 3), number=PICK)
    def skip(self, of: int, number: int) -> None:
        service = self.world.services[of]
        if service.parked:
            service.skip(pick(number, list(service.parked)))

    @rule(of=st.integers(0, 3), emptied=st.booleans())
    def redeliver_everything(self, of: int, emptied: bool) -> None:  # noqa: FBT001  drawn
        """Rewind a consumer; with its inbox emptied only the natural keys are left."""
        service = self.world.services[of]
        service.rewind()
        if emptied:
            service.inbox.clear()

    @rule(of=st.integers(0, 3), count=st.integers(1, 3), crash=st.booleans())
    def relay_some(self, of: int, count: int, crash: bool) -> None:  # noqa: FBT001  drawn
        self.world.services[of].relay(count, crash=crash)

    @rule(number=PICK, expires=st.booleans())
    @precondition(lambda self: self.world.cancellable())
    def end(self, number: int, expires: bool) -> None:  # noqa: FBT001  drawn
        """Let the customer cancel an order, or its time run out if it is open."""
        order = pick(number, self.world.cancellable())
        if expires and order.status in OPEN:
            self.world.expire(order)
        else:
            self.world.cancel(order)

    @rule(number=PICK, choice=st.sampled_from(Choice))
    @precondition(lambda self: self.world.undecided())
    def decide(self, number: int, choice: Choice) -> None:
        self.world.decide(pick(number, self.world.undecided()), choice)

    @rule(number=PICK, at_last=st.booleans())
    @precondition(lambda self: self.world.unanswered())
    def close_again(self, number: int, at_last: bool) -> None:  # noqa: FBT001  drawn
        self.world.close_again(pick(number, self.world.unanswered()), at_last=at_last)

    @rule(number=PICK)
    @precondition(lambda self: self.world.incomplete())
    def call_stuck(self, number: int) -> None:
        self.world.call_stuck(pick(number, self.world.incomplete()))

    @rule(number=PICK, amount=st.integers(1, 1000), lines=st.integers(0, 3))
    @precondition(lambda self: self.world.refundable())
    def ask_refund(self, number: int, amount: int, lines: int) -> None:
        self.world.ask_refund(pick(number, self.world.refundable()), amount, lines)

    @rule(number=PICK, amount=st.integers(1, 1000))
    @precondition(lambda self: self.world.refundable())
    def ask_too_much(self, number: int, amount: int) -> None:
        self.world.ask_too_much(pick(number, self.world.refundable()), amount)

    @rule(number=PICK)
    @precondition(lambda self: self.world.completed())
    def ship(self, number: int) -> None:
        self.world.ship(pick(number, self.world.completed()))

    @rule(sku=st.sampled_from(sorted(CATALOGUE)), quantity=st.sampled_from([-1, 1, 2]))
    def adjust(self, sku: str, quantity: int) -> None:
        self.world.adjust(sku, quantity)

    @rule(number=PICK, old=st.booleans(), late=st.booleans())
    @precondition(lambda self: self.world.till.due())
    def lease(self, number: int, old: bool, late: bool) -> None:  # noqa: FBT001  drawn
        """Take a payment up, be it from a worker that is too slow."""
        till = self.world.till
        till.lease(pick(number, till.due()), self.world.tick(), key_is_old=old, hold_is_old=late)

    @rule(number=PICK, mood=MOODS)
    @precondition(lambda self: self.world.till.errands)
    def call(self, number: int, mood: Mood) -> None:
        self.world.till.call(pick(number, self.world.till.errands), mood)

    @rule(number=PICK)
    @precondition(lambda self: self.world.till.reports)
    def settle_and_crash(self, number: int) -> None:
        """Settle an answer, and settle it again later."""
        till = self.world.till
        report = pick(number, till.reports)
        till.settle(report, self.world.tick())
        till.reports.append(report)

    @rule(number=PICK)
    @precondition(lambda self: self.world.provider.told)
    def tell(self, number: int) -> None:
        """Bring a webhook: a new one, or one that came long ago."""
        self.world.mail.bring(number % len(self.world.provider.told))

    @rule(number=PICK)
    @precondition(lambda self: self.world.provider.told)
    def tell_untruly(self, number: int) -> None:
        self.world.mail.mislead(number % len(self.world.provider.told))

    @rule()
    @precondition(lambda self: self.world.till.reports)
    def crash_before_settling(self) -> None:
        self.world.till.reports.clear()

    @invariant()
    def no_piece_is_lost(self) -> None:
        check_stock(self.world)

    @invariant()
    def nobody_pays_twice(self) -> None:
        check_money(self.world)

    @override
    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        _count_example()
        self.schedule.drain()
        self._check()
        if self.ending is not Ending.PAYMENT_LOST:
            self.schedule.regret()
            self.schedule.drain()
            self._check()
        before = self._rows()
        match self.ending:
            case Ending.REPLAYED:
                self._replay()
                assert self._rows() == before
            case Ending.INVENTORY_LOST:
                self._rebuild(partial(self.world.rebuild_inventory, PLENTY))
            case Ending.PAYMENT_LOST if self._payment_can_be_rebuilt():
                self._rebuild(self.world.rebuild_payment)
            case Ending.NOTIFICATION_LOST:
                told = self.world.notices
                self.world.rebuild_notification()
                self._calmly()
                self._check()
                assert self.world.notices == told
            case _:
                pass

    def _replay(self) -> None:
        for service in self.world.services:
            service.rewind()
            service.inbox.clear()
        self.schedule.drain()
        self._check()

    def _payment_can_be_rebuilt(self) -> bool:
        """Rule out a refund heard before its capture is, and a key that never arrived."""
        return not self.world.refunds and self.world.provider.knows_all_attempts()

    def _rebuild(self, lose: Callable[[], None]) -> None:
        before = repr(self.world.orders.orders)
        lose()
        self._calmly()
        check_stock(self.world)
        check_money(self.world)
        check_rebuilt(self.world)
        assert repr(self.world.orders.orders) == before

    def _calmly(self) -> None:
        """Hear everything again, in another order."""
        self.schedule.mishaps = frozenset({Mishap.ASIDE, Mishap.AGAIN})
        self.schedule.left = 20
        self.schedule.ranks.clear()
        self.schedule.drain()

    def _check(self) -> None:
        check_stock(self.world)
        check_money(self.world)
        check_quiet(self.world)

    def _rows(self) -> str:
        """Write down all that a replay must not change."""
        world = self.world
        payments = [replace(each, cause=None) for each in world.payments.payments.values()]
        kept = (world.stock, world.orders.orders, payments, world.notices)
        return repr((kept, world.provider.intents, world.provider.refunds))


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Keep the worker from logging every mishap: there are hundreds an example."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.configure(**before)
    RUNNER.close()


TestSaga = Saga.TestCase
TestSaga.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
