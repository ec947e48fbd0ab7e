import pytest
from demo.summary import percentiles


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (range(1, 101), {50: 50, 95: 95, 99: 99, 100: 100}),
        ([3.0, 1.0, 2.0], {50: 2.0, 95: 3.0, 99: 3.0, 100: 3.0}),
        ([7.0], {50: 7.0, 95: 7.0, 99: 7.0, 100: 7.0}),
        ([], {}),
    ],
    ids=["a hundred", "three", "one", "none"],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], expected: dict[int, float]
) -> None:
    assert percentiles(values) == expected
