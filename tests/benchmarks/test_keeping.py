from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.figures import Aim, Row
from benchmarks.keeping import Circumstances
from benchmarks.measurement import Found, Measurement, Size
from benchmarks.rig import Rig

from benchmarks import keeping


async def _nothing(_rig: Rig, _size: Size) -> Found:
    raise AssertionError("nothing is measured here")


MEASUREMENT = Measurement(
    (Row("P2", "speed", {"orders/s": Aim(300, at_least=True)}), Row("P8", "price", {})),
    _nothing,
    lambda _: 1,
    Size(steps=(1, 10)),
)
RUN = {"P2": {"orders/s": 270.5}, "P8": {"all": 8.0}}
HERE = Circumstances("132f39d", {"cores": "2"}, {}, {"orders": 5000, "steps": [1, 10]})


def _one_run_is_kept(folder: Path) -> None:
    kept = keeping.begin(MEASUREMENT, HERE, command="c", resume=False, folder=folder)
    kept.add(RUN)
    kept.save(folder)


def test_what_is_kept_reads_as_it_was(tmp_path: Path) -> None:
    _one_run_is_kept(tmp_path)

    (kept,) = keeping.everything(tmp_path)
    assert kept.circumstances == HERE
    assert [measured.runs for measured in kept.rows] == [[RUN["P2"]], [RUN["P8"]]]
    assert kept.rows[0].row == MEASUREMENT.rows[0]


def test_a_run_that_is_kept_is_not_made_again(tmp_path: Path) -> None:
    _one_run_is_kept(tmp_path)

    kept = keeping.begin(MEASUREMENT, HERE, command="c", resume=True, folder=tmp_path)

    assert kept.runs == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(HERE, commit="132f39d with changes"),
        replace(HERE, machine={"cores": "4"}),
        replace(HERE, settings={"CONSUMER_MAX_RECORDS": "10"}),
        replace(HERE, size={"orders": 100, "steps": [1, 10]}),
    ],
    ids=["other code", "other machine", "other settings", "other size"],
)
def test_runs_in_other_circumstances_do_not_count(other: Circumstances, tmp_path: Path) -> None:
    _one_run_is_kept(tmp_path)

    kept = keeping.begin(MEASUREMENT, other, command="c", resume=True, folder=tmp_path)

    assert kept.runs == 0


def test_without_resuming_everything_begins_anew(tmp_path: Path) -> None:
    _one_run_is_kept(tmp_path)

    kept = keeping.begin(MEASUREMENT, HERE, command="c", resume=False, folder=tmp_path)

    assert kept.runs == 0


def test_a_size_compares_with_what_was_read_of_it() -> None:
    now = Circumstances.now(MEASUREMENT, MEASUREMENT.size)

    assert now.size["steps"] == [1, 10]


def test_the_report_is_in_the_order_of_the_table(tmp_path: Path) -> None:
    for name in ("P10", "ceilings", "P2"):
        measurement = replace(MEASUREMENT, rows=(Row(name, name, {}),))
        kept = keeping.begin(measurement, HERE, command="c", resume=False, folder=tmp_path)
        kept.save(tmp_path)

    assert [kept.name for kept in keeping.everything(tmp_path)] == ["P2", "P10", "ceilings"]
