from collections import Counter
from pathlib import Path

import pytest
from benchmarks.compare import environment, verdict
from benchmarks.compare.command import arguments
from benchmarks.compare.peers import PEERS, Setting
from benchmarks.compare.table import Board, Line, as_markdown
from benchmarks.driver import LoadError
from invariants.mail import BOX

from benchmarks import arrivals


def _line(name: str, *speeds: float, aim: float | None = None, failure: str = "") -> Line:
    figures = {"CPU ms an order": 2.0, "CPU ms of peer": 1.5, "p50 ms": 9.0, "p99 ms": 99.0}
    runs = [{"orders/s": speed} | figures for speed in speeds]
    return Line(name, name.title(), aim=aim, runs=[*runs], failure=failure)


def _board(*theirs: Line) -> Board:
    return Board("order", _line("pedido", 900, 1000, 1100), theirs)


def _letter(folder: Path, arrived: int, order: str) -> None:
    with (folder / BOX).open("a") as box:
        box.write(f"From sink\nX-Arrived: {arrived}\nX-Order: {order}\n\nHello\n\n")


def test_the_ratio_is_that_of_the_medians() -> None:
    fast, slow = _line("fast", 90, 100, 110, aim=12), _line("slow", 40, 60, 50, aim=12)
    board = _board(fast, slow)

    assert board.ratio(slow) == 20
    assert board.far_enough(slow)
    assert not board.far_enough(fast)
    assert board.ratio(board.ours) is None


def test_a_peer_that_lost_an_order_has_no_ratio() -> None:
    lost = _line("lost", 5000, failure="charges are wrong")

    assert _board(lost).ratio(lost) is None


def test_the_table_shows_who_was_measured_and_says_who_was_not() -> None:
    theirs = _line("theirs", 50, aim=12)
    absent = _line("absent", failure="there is no npm on this machine")

    written = as_markdown([_board(theirs, absent), Board("event", Line("relay", "Relay"), [])], "x")

    assert "| Pedido | 1,000 | 900 to 1,100 |  |  | 2.00 | peer 1.50 | 9.00 | 99.0 |" in written
    assert "| Theirs | 50.0 | 50.0 to 50.0 | 20.0 | ≥ 12 | 2.00 |" in written
    assert "- Absent: no figure. there is no npm on this machine" in written
    assert "| Absent" not in written
    assert "events/s" not in written


@pytest.mark.parametrize(
    "given",
    [
        ["--only", "dbos,nobody"],
        ["--orders", "0"],
        ["--runs", "-1"],
        ["--seconds", "soon"],
        ["--processes", "2"],
    ],
    ids=["unknown peer", "no orders", "negative runs", "no number", "half a setting"],
)
def test_an_impossible_command_line_is_refused(given: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(given)

    assert ended.value.code == 2


def test_settings_from_the_command_line_are_the_only_ones_that_are_tried() -> None:
    given = ["--only", "dbos", "--orders", "300", "--processes", "1", "--concurrency", "5"]
    (chosen,) = arguments(given).peers

    assert (chosen.name, chosen.size) == ("dbos", 300)
    assert chosen.settings == (Setting(1, 5),)


def test_every_package_of_every_peer_is_pinned() -> None:
    for peer in PEERS.values():
        assert set(environment.versions(peer.packages)) == set(peer.packages)
        assert peer.path.is_file()


def test_relays_are_told_in_events_and_microseconds() -> None:
    theirs = {"events/s": 3000.0, "CPU us an event": 70.0, "CPU us of relay": 50.0}
    ours = Line("relay", "Ours", runs=[theirs | {"events/s": 30_000.0}])
    board = Board("event", ours, [Line("theirs", "Theirs", runs=[theirs])], "us")

    written = as_markdown([board], "x")

    assert "| system | events/s | min to max | Pedido : it | aim | CPU us an event |" in written
    assert "| Theirs | 3,000 | 3,000 to 3,000 | 10.0 |  | 70.0 | relay 50.0 |  |  |" in written


def test_orders_and_events_have_sizes_of_their_own() -> None:
    given = ["--only", "dbos,txoutbox", "--orders", "300", "--events", "4000"]

    assert [peer.size for peer in arguments(given).peers] == [300, 4000]


def test_events_must_arrive_once_and_in_order_where_that_is_promised() -> None:
    arrivals.judge([[0, 1], [2, 3]], 4, in_order=True)
    arrivals.judge([[1, 0], [2, 3]], 4, in_order=False)

    with pytest.raises(LoadError, match="before an earlier one"):
        arrivals.judge([[1, 0], [2, 3]], 4, in_order=True)
    with pytest.raises(LoadError, match="came twice"):
        arrivals.judge([[0, 1], [2, 2]], 4, in_order=False)


def test_the_judge_counts_what_is_missing_and_what_is_too_much() -> None:
    wanted = Counter({("one", "capture"): 1, ("two", "capture"): 1})

    with pytest.raises(LoadError, match="1 are missing, 1 are too many"):
        verdict.require("charges", Counter({("one", "capture"): 2}), wanted)
    verdict.require("charges", wanted.copy(), wanted)


def test_an_e_mail_that_came_again_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    for arrived, order in ((1, "one"), (5_000_000_000, "one"), (7_000_000_000, "two")):
        _letter(tmp_path, arrived, order)
    _letter(tmp_path, 9_000_000_000, "two")
    _letter(tmp_path, 9_500_000_000, "of an earlier run")
    letters = verdict.Letters(tmp_path, 2, ["one", "two"])
    assert letters.look() == {"one": 1, "two": 2}
    _letter(tmp_path, 9_900_000_000, "two")

    assert letters.judge() == 2
    assert letters.last == 7.0


def test_a_customer_who_was_told_nothing_makes_the_run_void(tmp_path: Path) -> None:
    _letter(tmp_path, 5, "one")

    with pytest.raises(LoadError, match="customers who were told"):
        verdict.Letters(tmp_path, 0, ["one", "two"]).judge()
