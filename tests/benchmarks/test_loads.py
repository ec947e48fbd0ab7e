from collections import Counter
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from benchmarks.driver import Basket, Load, LoadError, any_products
from benchmarks.latency import Steady
from benchmarks.rig import SKUS
from common import avro

from benchmarks import growth, held, skew, soak, waiting


def _chance() -> Random:
    return Random(2026)  # noqa: S311  not a secret


@pytest.mark.parametrize("lines", [1, 2, 3], ids=str)
def test_a_basket_holds_different_products(lines: int) -> None:
    basket = any_products(lines)(_chance())

    assert len(set(basket)) == lines


@pytest.mark.parametrize("choose", [skew.hot, skew.zipf], ids=["hot", "zipf"])
def test_many_want_the_first_product_and_never_twice_in_an_order(choose: Basket) -> None:
    chosen = _chance()
    baskets = [choose(chosen) for _ in range(2000)]

    assert all(len(basket) == len(set(basket)) == 2 for basket in baskets)
    wanted = Counter(sku for basket in baskets for sku in basket)
    assert wanted.most_common(1)[0][0] == SKUS[0]


def test_nine_of_ten_want_the_hot_product() -> None:
    chosen = _chance()

    share = sum(SKUS[0] in skew.hot(chosen) for _ in range(5000)) / 5000

    assert share == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("kind", [waiting.PLACED, waiting.COMPLETED], ids=str)
def test_what_waits_is_what_the_contract_says(kind: str) -> None:
    events = list(waiting.events(8, kind, per_key=4))

    assert [Counter(event.key for event in events)[event.key] for event in events] == [4] * 8
    assert [int(dict(event.headers)["ce_version"]) for event in events] == list(range(8))
    for event in events:
        name, _, facts = avro.describe(event.payload)
        assert (name, str(facts["order_id"])) == (kind, event.key.decode())


def test_each_order_counts_in_the_part_in_which_it_was_meant() -> None:
    load = Load(began=100.0, meant={str(n): 100.0 + n for n in range(60)})
    seen = {order: meant + (1 if meant < 130 else 2) for order, meant in load.meant.items()}

    slow = soak.p99_by_part(load, seen, seconds=60)

    assert slow == [1000.0] * 15 + [2000.0] * 15


def _steady(slow_until: float) -> Steady:
    load = Load(began=0.0, meant={str(n): float(n) for n in range(60)})
    confirmed = {
        order: meant + (9 if meant < slow_until else 1) for order, meant in load.meant.items()
    }
    return Steady(load, 0.0, {"CONFIRMED": confirmed}, {})


@pytest.mark.parametrize(
    ("slow_until", "seconds"), [(0, 0), (12, 15), (60, 60)], ids=["at once", "later", "never"]
)
def test_what_was_slow_is_back_with_the_first_window_like_before(
    slow_until: float, seconds: float
) -> None:
    assert held._recovery(_steady(0), _steady(slow_until)) == seconds


def test_what_would_fill_the_disk_is_refused_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10 * 2**30))
    growth.need_room(tmp_path, 100_000)

    with pytest.raises(LoadError, match=r"orders take .* are free: .*--steps"):
        growth.need_room(tmp_path, 10**12)


def test_a_database_on_another_machine_has_a_disk_of_its_own(tmp_path: Path) -> None:
    growth.need_room(tmp_path / "elsewhere", 10**12)
