"""`.env.example` is what this renders from the settings classes; run it to write the file anew."""

import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from inventory_service.settings import Settings as InventorySettings
from notification_service.settings import Settings as NotificationSettings
from order_service.settings import Settings as OrderSettings
from payment_service.settings import Settings as PaymentSettings
from pydantic import BaseModel
from pydantic.fields import FieldInfo

SERVICES: dict[str, type[BaseModel]] = {
    "order-service": OrderSettings,
    "inventory-service": InventorySettings,
    "payment-service": PaymentSettings,
    "notification-service": NotificationSettings,
}
FILE = Path(__file__).parent.parent / ".env.example"
HEAD = """\
# Every setting of every service, but for FAILPOINTS and FAILPOINTS_LOG, which tests alone
# use. What is commented out has the default that is shown;
# an empty value is an unset one. Instead of NAME=value, NAME_FILE=path reads the value from
# a file: do so with secrets. Durations are written as 500ms, 10s, 15m, 1h or 7d.
# Made by `python tests/test_env_example.py > .env.example`; a test proves it complete.
"""
UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return duration(value.total_seconds())
    return str(value)


def duration(seconds: float) -> str:
    for unit, size in UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"


def users(name: str) -> tuple[str, ...]:
    return tuple(service for service, settings in SERVICES.items() if has(settings, name))


def has(settings: type[BaseModel], name: str) -> bool:
    return name in settings.model_fields


def field_of(name: str) -> FieldInfo:
    return SERVICES[users(name)[0]].model_fields[name]


def names() -> list[str]:
    found = (name for settings in SERVICES.values() for name in settings.model_fields)
    return sorted(dict.fromkeys(found))


def entry(name: str) -> Iterator[str]:
    field = field_of(name)
    defaults = {written(SERVICES[user].model_fields[name].default) for user in users(name)}
    yield f"# {field.description}"
    if field.is_required():
        yield f"{name.upper()}={(field.examples or [''])[0]}"
        return
    if len(defaults) > 1:
        by_service = (
            f"{user} {written(SERVICES[user].model_fields[name].default)}" for user in users(name)
        )
        yield f"# (by service: {', '.join(by_service)})"
    yield f"# {name.upper()}={written(field.default)}"


def section(title: str, members: Iterable[str]) -> Iterator[str]:
    yield f"\n# === {title} ===\n"
    for name in members:
        yield from entry(name)


def render() -> str:
    groups: dict[tuple[str, ...], list[str]] = {tuple(SERVICES): []}
    for name in names():
        groups.setdefault(users(name), []).append(name)
    lines = [HEAD]
    for services, members in groups.items():
        title = "every service" if len(services) == len(SERVICES) else ", ".join(services)
        lines += section(title, members)
    return "\n".join(lines) + "\n"


def test_the_example_environment_lists_every_setting_as_it_is() -> None:
    assert FILE.read_text() == render()


def test_no_secret_has_a_default() -> None:
    secrets = {
        name: field_of(name)
        for name in names()
        if "SecretStr" in str(field_of(name).annotation) or "PostgresDsn" in str(field_of(name))
    }

    assert "database_url" in secrets
    assert all(field.is_required() or field.default is None for field in secrets.values())


if __name__ == "__main__":
    sys.stdout.write(render())
