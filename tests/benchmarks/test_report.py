import json
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.figures import Aim, Measured, Row
from benchmarks.keeping import Circumstances, Kept
from benchmarks.latency import ROW as LATENCY
from benchmarks.throughput import PRICE, SPEED

from benchmarks import charts, meter, report

MACHINE = {"cores": "2", "cpu": "Xeon", "memory": "24 GiB", "system": "Linux", "python": "3.11"}
HERE = Circumstances("132f39d", MACHINE, {"CONSUMER_MAX_RECORDS": "10"}, {"orders": 5000})


def _kept(*rows: Measured) -> Kept:
    return Kept(HERE, "python -m benchmarks P2", rows, "2026-11-27T14:00+00:00")


def _price(factor: float) -> dict[str, float]:
    return {meter.ALL: 8 * factor} | dict.fromkeys(meter.SUITE, factor)


def test_the_report_says_what_where_and_how() -> None:
    speed = Measured(SPEED, [{"completed orders/s": value} for value in (270, 1307, 290)])

    written = report.as_markdown([_kept(speed)])

    assert (
        "| P2 | as fast as accepted: completed orders/s | **290** | 270 to 1,307 | ≥ 300 |"
        in written
    )
    assert "| P2 | 3 | `python -m benchmarks P2` | `CONSUMER_MAX_RECORDS=10` | 132f39d |" in written
    assert "2 cores of Xeon, 24 GiB, Linux, Python 3.11" in written


def test_a_figure_without_an_aim_is_told_without_one() -> None:
    written = report.as_markdown([_kept(Measured(Row("P0", "what", {}), [{"x": 0.123}]))])

    assert "| P0 | what: x | 0.12 | 0.12 to 0.12 |  |" in written


def test_everything_that_is_kept_makes_one_report(tmp_path: Path) -> None:
    trickle = {f"CPU ms an order, {name}": value for name, value in _price(3).items()}
    trickle |= {"POST → 202 p50 ms": 41, "POST → 202 p99 ms": 90}
    _kept(Measured(PRICE, [_price(1)])).save(tmp_path)
    _kept(Measured(LATENCY, [trickle])).save(tmp_path)

    path = report.save(tmp_path)

    assert "![cpu](cpu.svg)" in path.read_text()
    assert [
        each["rows"][0]["id"] for each in json.loads((tmp_path / "report.json").read_text())
    ] == [
        "P3",
        "P8",
    ]
    for picture in ("cpu.svg", "latency.svg"):
        ET.parse(tmp_path / picture)  # noqa: S314  our own


def test_without_figures_there_is_an_empty_report(tmp_path: Path) -> None:
    assert "| id | figure |" in report.save(tmp_path).read_text()


def test_numbers_show_the_digits_that_mean_something() -> None:
    assert [report.number(value) for value in (1234.5, 99.94, 0.1234, 0)] == [
        "1,234",
        "99.9",
        "0.12",
        "0.00",
    ]


def test_an_aim_at_least_is_met_from_its_bound_on() -> None:
    row = Row("P0", "what", {"x": Aim(5, at_least=True)})

    assert "**" not in report.as_markdown([_kept(Measured(row, [{"x": 5}]))]).split("Bold")[0]


def test_the_minutes_of_a_soak_are_drawn_and_not_listed() -> None:
    minutes = {f"minute {n:02}: resident MiB": 400.0 + n for n in range(1, 31)}
    soak = Measured(Row("P10", "soak", {}), [{"orders": 9000.0, **minutes}])

    assert "minute 30" not in report.as_markdown([_kept(soak)])
    picture = charts.draw([soak])["soak.svg"]
    assert ">430<" in picture
    assert ">resident MiB<" in picture


def test_batch_sizes_are_drawn_in_their_order() -> None:
    found = {f"{step}: completed orders/s": float(step) for step in (1, 10, 50, 200, 500)}
    found |= {f"{step}: CPU ms an order": 100.0 / step for step in (1, 10, 50, 200, 500)}
    found |= {f"{step}: at 50/s: POST → CONFIRMED p99 ms": 90.0 for step in (1, 10, 50, 200, 500)}

    picture = charts.draw([Measured(Row("P13", "batches", {}), [found])])["batches.svg"]

    places = [picture.index(f">{step}<") for step in (10, 50, 200, 500)]
    assert places == sorted(places)


def test_what_was_compared_has_its_place_in_the_report(tmp_path: Path) -> None:
    run = {"orders/s": 60, "CPU ms of peer": 20.0, "CPU ms of postgres": 9.0}
    dbos = {"title": "DBOS, a durable workflow an order", "failure": "", "runs": [run, run]}
    broken = {"title": "Celery, late", "failure": "no figure", "runs": [run]}
    (tmp_path / "compare.json").write_text(json.dumps({"systems": [dbos, broken]}))
    (tmp_path / "compare.md").write_text("| DBOS | 60 |\n")

    written = report.save(tmp_path).read_text()

    assert "## P7" in written
    assert "| DBOS | 60 |" in written
    picture = (tmp_path / "peers.svg").read_text()
    assert "DBOS" in picture
    assert "Celery" not in picture
