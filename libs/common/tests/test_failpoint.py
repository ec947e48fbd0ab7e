import signal
import subprocess
import sys
import timeit
from pathlib import Path

import pytest
from common import failpoint
from common.failpoint import Injected, armed, bound

DYING = "from common.failpoint import failpoint; failpoint('here.now'); print('alive')"


def test_nothing_happens_when_nobody_asks() -> None:
    failpoint.failpoint("shell.claimed", b"key")


def test_a_failure_happens_as_often_as_asked_and_only_there(tmp_path: Path) -> None:
    point = armed("here.now=raise*2", tmp_path / "log")

    point("elsewhere.now")
    for _ in range(2):
        with pytest.raises(Injected):
            point("here.now")
    point("here.now")

    assert (tmp_path / "log").read_text().split() == ["here.now"] * 2


def test_a_key_that_ends_otherwise_is_spared(tmp_path: Path) -> None:
    point = armed("here.now=raise*0@7f", tmp_path / "log")

    point("here.now", b"order-00")
    with pytest.raises(Injected):
        point("here.now", b"order-7f")


def test_a_later_life_knows_what_an_earlier_one_did(tmp_path: Path) -> None:
    env = {
        "APP_ENV": "test",
        "FAILPOINTS": "here.now=kill*2",
        "FAILPOINTS_LOG": str(tmp_path / "log"),
    }

    codes = [
        subprocess.run([sys.executable, "-c", DYING], env=env, check=False).returncode  # noqa: S603
        for _ in range(3)
    ]

    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]


@pytest.mark.parametrize("environment", [{}, {"APP_ENV": "production"}])
def test_a_production_process_does_not_start_with_a_plan(environment: dict[str, str]) -> None:
    with pytest.raises(SystemExit, match="unset it"):
        bound({**environment, "FAILPOINTS": "here.now=kill"})


def test_a_blocked_place_holds_the_whole_process_up(tmp_path: Path) -> None:
    point = armed("here.now=block:0.05", tmp_path / "log")

    assert timeit.timeit(lambda: point("here.now"), number=1) >= 0.05


@pytest.mark.parametrize("text", ["", "here.now", "here.now=explode", "=kill"])
def test_a_plan_that_says_nothing_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not NAME=ACTION"):
        armed(text, tmp_path / "log")
