from collections import Counter

import pytest
from benchmarks.compare import environment, verdict
from benchmarks.compare.command import arguments
from benchmarks.compare.peers import PEERS
from benchmarks.compare.table import Line, as_markdown
from benchmarks.driver import LoadError


def _line(name: str, *speeds: float, aim: float | None = None, failure: str = "") -> Line:
    runs = [
        {
            "orders/s": speed,
            "CPU ms an order": 2.0,
            "CPU ms of peer": 1.5,
            "p50 ms": 9,
            "p99 ms": 99,
        }
        for speed in speeds
    ]
    return Line(name, name.title(), aim=aim, runs=[dict(run) for run in runs], failure=failure)


OURS = _line("pedido", 900, 1000, 1100)


def test_the_ratio_is_that_of_the_medians() -> None:
    theirs = _line("theirs", 40, 60, 50, aim=12)

    assert theirs.against(OURS) == 20
    assert theirs.far_enough(OURS)
    assert not _line("theirs", 100, aim=12).far_enough(OURS)


def test_a_peer_that_lost_an_order_has_no_ratio() -> None:
    assert _line("theirs", 5000, failure="charges are wrong").against(OURS) is None


def test_the_table_shows_who_was_measured_and_says_who_was_not() -> None:
    theirs = _line("theirs", 50, aim=12)
    absent = _line("absent", failure="there is no npm on this machine")

    written = as_markdown([OURS, theirs, absent], OURS, "python -m benchmarks.compare")

    assert "| Pedido | 1000 | 900 to 1100 |  |  | 2.0 | peer 1.50 | 9 | 99 |" in written
    assert "| Theirs | 50 | 50 to 50 | 20.0 | ≥ 12 | 2.0 |" in written
    assert "- Absent: no figure. there is no npm on this machine" in written
    assert "| Absent" not in written


@pytest.mark.parametrize(
    "given",
    [["--only", "dbos,nobody"], ["--orders", "0"], ["--runs", "-1"], ["--seconds", "soon"]],
    ids=["unknown peer", "no orders", "negative runs", "no number"],
)
def test_an_impossible_command_line_is_refused(given: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(given)

    assert ended.value.code == 2


def test_settings_from_the_command_line_replace_a_peers_own() -> None:
    (chosen,) = arguments(["--only", "dbos", "--orders", "300", "--processes", "1"]).peers

    assert (chosen.name, chosen.orders, chosen.processes) == ("dbos", 300, 1)
    assert chosen.concurrency == PEERS["dbos"].concurrency


def test_every_package_of_every_peer_is_pinned() -> None:
    for peer in PEERS.values():
        assert set(environment.versions(peer.packages)) == set(peer.packages)
        assert peer.path.is_file()


def test_the_judge_counts_what_is_missing_and_what_is_too_much() -> None:
    wanted = Counter({("one", "capture"): 1, ("two", "capture"): 1})

    with pytest.raises(LoadError, match="1 are missing, 1 are too many"):
        verdict.require("charges", Counter({("one", "capture"): 2}), wanted)
    verdict.require("charges", wanted.copy(), wanted)
