"""The alerts ask for metrics that the services have, and the scrape config finds all services."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
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


def test_every_service_is_scraped() -> None:
    (job,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]

    scraped = {target for config in job["static_configs"] for target in config["targets"]}
    assert scraped == {f"{name}-service:800{place}" for place, name in enumerate(SERVICES)}
