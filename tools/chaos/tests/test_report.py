"""The table of a run, as it stands in the documentation."""

from __future__ import annotations

from chaos.fault import Row
from chaos.report import Result, as_markdown, line

HELD = Result(Row("F1", "kill -9", ()), 40, 1_200, 0, 99.0, ())
BROKE = Result(Row("F7", "broker away", ()), 3, 300, 1, 60.0, ("I3: charged twice",))


def test_the_table_adds_up() -> None:
    table = as_markdown([HELD, BROKE], "`make chaos SEED=1`")

    assert "| F1 | kill -9 | 40 | 1,200 | 0 |" in table
    assert "|  | in all | 43 | 1,500 | 1 |" in table
    assert table.startswith("`make chaos SEED=1`")


def test_a_row_that_broke_says_what() -> None:
    assert "I3: charged twice" in line(BROKE)
    assert "holds" in line(HELD)
