"""The plan of a run: drawn from its seed alone, and with every row that is promised."""

from __future__ import annotations

import pytest
from chaos.matrix import MATRIX, PROMISED
from chaos.schedule import USUAL_MINUTES, plan, seconds
from devstack.topology import SERVICES


def test_the_same_seed_breaks_the_same_again() -> None:
    assert plan(MATRIX, seed=7) == plan(MATRIX, seed=7)


def test_another_seed_breaks_in_another_order() -> None:
    assert plan(MATRIX, seed=7) != plan(MATRIX, seed=8)


def test_a_row_alone_is_broken_as_it_is_among_all() -> None:
    (alone,) = plan([row for row in MATRIX if row.id == "F22"], seed=7)

    assert alone in plan(MATRIX, seed=7)


def test_every_row_that_is_promised_is_planned() -> None:
    assert [planned.row.id for planned in plan(MATRIX, seed=7)] == [f"F{row}" for row in PROMISED]


@pytest.mark.parametrize("minutes", [1, USUAL_MINUTES, 200])
def test_every_fault_comes_however_short_the_run(minutes: float) -> None:
    for planned in plan(MATRIX, seed=7, minutes=minutes):
        injected = {injection.fault for injection in planned.injections}
        assert injected == {fault.name for fault in planned.row.faults}


def test_a_usual_run_breaks_hundreds_of_things_within_an_hour() -> None:
    usual = plan(MATRIX, seed=7)

    assert sum(len(planned.injections) for planned in usual) > 280
    assert seconds(usual) < 55 * 60


def test_a_quick_run_takes_minutes() -> None:
    quick = plan(MATRIX, seed=7, quick=True)

    assert len(quick) > 5
    assert seconds(quick) < 6 * 60


def test_more_time_brings_more_faults() -> None:
    assert sum(len(each.injections) for each in plan(MATRIX, seed=7, minutes=100)) > 500


def test_every_service_has_its_share_of_the_kills() -> None:
    kills = next(planned for planned in plan(MATRIX, seed=7) if planned.row.id == "F1")

    assert {injection.target for injection in kills.injections} == set(SERVICES)
