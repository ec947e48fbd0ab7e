import pytest
from benchmarks.catalogue import BY_ID, MEASUREMENTS, USUAL

from benchmarks import arguments


def test_nothing_asked_is_the_usual() -> None:
    wanted = arguments.parse([])

    assert wanted.ids == USUAL
    assert [each.name for each in wanted.measurements] == ["P2", "P3", "P14"]


def test_rows_are_known_in_any_case() -> None:
    assert arguments.parse(["p8", "P14"]).ids == ("P8", "P14")


def test_a_size_is_the_rows_own_unless_it_is_given() -> None:
    wanted = arguments.parse(["P3", "--seconds", "5"])
    (measurement,) = wanted.measurements

    size = wanted.size_of(measurement)

    assert (size.seconds, size.orders) == (5, measurement.size.orders)
    assert wanted.runs_of(measurement) == measurement.runs


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["P99"], "no row P99: there are"),
        (["--runs", "0"], "more than 0"),
        (["--seconds", "-1"], "more than 0"),
        (["--steps", "1,0"], "more than 0"),
        (["--steps", "1,x"], "--steps"),
    ],
    ids=["unknown row", "no run", "negative time", "zero step", "step that is no number"],
)
def test_what_can_not_be_measured_is_told(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        arguments.parse(words)

    assert said in capsys.readouterr().err


def test_help_lists_every_row_with_its_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        arguments.parse(["--help"])

    told = capsys.readouterr().out
    assert all(row in told for row in BY_ID)
    assert told.count(" min, ") == len(MEASUREMENTS)


def test_the_usual_rows_take_ten_minutes_at_most() -> None:
    wanted = arguments.parse([])

    assert sum(each.runs * each.lasts(each.size) for each in wanted.measurements) < 600


def test_no_two_measurements_share_a_row() -> None:
    assert len(BY_ID) == sum(len(each.rows) for each in MEASUREMENTS)
