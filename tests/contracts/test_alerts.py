"""The alerts ask for metrics that are there and lead to what to do; every service is scraped."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SERVICES = ("order", "inventory", "payment", "notification")
ALERTS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}


@pytest.mark.parametrize("expression", ALERTS.values(), ids=ALERTS)
def test_an_alert_asks_for_metrics_that_exist(expression: str) -> None:
    for service in SERVICES:
        importlib.import_module(f"{service}_service.app")
    known = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in REGISTRY.collect()
    }

    assert set(re.findall(r"pedido_\w+", expression)) <= known


@pytest.mark.parametrize("expression", ALERTS.values(), ids=ALERTS)
def test_an_alert_of_a_single_event_sees_the_first_one(expression: str) -> None:
    """`increase` of a counter whose labels were just made is 0."""
    single = re.search(r"increase\(.*\)\) > 0$", expression, re.MULTILINE)

    assert not single or re.search(r"\bunless\b.* offset ", expression)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_a_section_of_what_to_do(alert: str) -> None:
    (anchor,) = re.findall(rf"^\| .*`{alert}`.* \| \[.*\]\(#(.+)\) \|$", OPERATIONS, re.MULTILINE)

    assert anchor in {_anchor(title) for title in re.findall(r"(?m)^## (.+)$", OPERATIONS)}


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_every_service_is_scraped() -> None:
    (job,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]

    scraped = {target for config in job["static_configs"] for target in config["targets"]}
    assert scraped == {f"{name}-service:800{place}" for place, name in enumerate(SERVICES)}
