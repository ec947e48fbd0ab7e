import pytest
from benchmarks.figures import Aim, Measured, Row, percentile


@pytest.mark.parametrize(
    ("percent", "value"), [(50, 2), (75, 3), (99, 4), (100, 4), (0.1, 1)], ids=str
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, value: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == value


def test_the_median_speaks_for_runs_in_any_order() -> None:
    measured = Measured(Row("P2", "speed", {}), [{"orders/s": 9}, {"orders/s": 1}, {"orders/s": 5}])

    assert measured.median("orders/s") == 5
    assert measured.values("orders/s") == [1, 5, 9]


@pytest.mark.parametrize(
    ("aim", "value", "missed"),
    [
        (Aim(10), 10, []),
        (Aim(10), 10.1, ["x"]),
        (Aim(10, at_least=True), 10, []),
        (Aim(10, at_least=True), 9.9, ["x"]),
    ],
    ids=["at the bound", "above it", "at the least", "below it"],
)
def test_an_aim_is_missed_beyond_its_bound(aim: Aim, value: float, missed: list[str]) -> None:
    assert Measured(Row("P2", "speed", {"x": aim}), [{"x": value}]).missed == missed


def test_an_aim_without_a_figure_is_missed() -> None:
    assert Measured(Row("P2", "speed", {"x": Aim(1)}), [{"y": 0}]).missed == ["x"]
