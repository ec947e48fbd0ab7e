"""docker-compose.yml starts each service as it wants to be started, and confines it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES = {
    "order": "orders",
    "inventory": "inventory",
    "payment": "payments",
    "notification": "notifications",
}
every_service = pytest.mark.parametrize(("service", "schema"), SERVICES.items(), ids=SERVICES)


@pytest.fixture(scope="module")
def containers() -> dict[str, dict[str, Any]]:
    text = (ROOT / "docker-compose.yml").read_text()
    defaults_taken = re.sub(r"(?<!\$)\$\{\w+:-(\w+)\}", r"\1", text)
    found: dict[str, dict[str, Any]] = yaml.safe_load(defaults_taken)["services"]
    return found


@every_service
def test_a_service_has_no_privilege_and_writes_nothing(
    service: str, schema: str, containers: dict[str, dict[str, Any]]
) -> None:
    for name in (f"{service}-service", f"{service}-migrate"):
        container = containers[name]
        assert container["read_only"] is True, schema
        assert container["cap_drop"] == ["ALL"]
        assert container["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "user", "cap_add", "tmpfs"} & set(container)


@every_service
def test_a_service_starts_after_its_schema_and_the_topics(
    service: str, schema: str, containers: dict[str, dict[str, Any]]
) -> None:
    awaited = containers[f"{service}-service"]["depends_on"]

    done = {"condition": "service_completed_successfully"}
    assert awaited[f"{service}-migrate"] == done, schema
    assert awaited["topics"] == done


@every_service
def test_a_service_is_configured_well(
    service: str,
    schema: str,
    containers: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in containers[f"{service}-service"]["environment"].items():
        monkeypatch.setenv(name, value)

    settings = importlib.import_module(f"{service}_service.settings").Settings()

    assert settings.db_schema == schema
    assert f"//{schema}_app:" in settings.database_url.get_secret_value()


@every_service
def test_migrations_run_as_the_owner_of_the_schema(
    service: str, schema: str, containers: dict[str, dict[str, Any]]
) -> None:
    container = containers[f"{service}-migrate"]

    assert container["command"] == ["migrate"]
    assert f"//{schema}_owner:" in container["environment"]["DATABASE_OWNER_URL"]
    assert "DATABASE_OWNER_URL" not in containers[f"{service}-service"]["environment"]


def test_nothing_is_reachable_from_other_machines(containers: dict[str, dict[str, Any]]) -> None:
    published = [port for container in containers.values() for port in container.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_a_service_that_serves_is_probed(containers: dict[str, dict[str, Any]]) -> None:
    jobs = {name for name, container in containers.items() if container.get("restart") == "no"}

    for name in containers.keys() - jobs - {"mailpit"}:
        assert containers[name]["healthcheck"]["test"], name
