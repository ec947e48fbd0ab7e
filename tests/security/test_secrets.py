"""No secret in the repository, and none in what a service prints of its settings."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inventory_service.settings import Settings as InventorySettings
from notification_service.settings import Settings as NotificationSettings
from order_service.settings import Settings as OrderSettings
from payment_service.settings import Settings as PaymentSettings
from pydantic import SecretStr
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]

SECRETS = {
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\n?[A-Za-z0-9+/=\n]{40}",
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60})",
    "Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{20}",
    "Stripe live key": r"\b[sr]k_live_[A-Za-z0-9]{16}",
    "Google key": r"\bAIza[A-Za-z0-9_-]{35}",
    "token": r"\beyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16}",
    "package index token": r"\b(?:pypi|npm)[-_][A-Za-z0-9_-]{36}",
}
SCANNER = re.compile("|".join(f"(?:{pattern})" for pattern in SECRETS.values()))

PLANTED = (
    "-----BEGIN EC " + "PRIVATE KEY-----\n" + "M" * 64,
    "AKIA" + "Z7" * 8,
    "ghp_" + "a1" * 18,
    "xoxb-" + "12345-" * 4,
    "sk_live_" + "a1" * 8,
    "AIza" + "a" * 35,
    f"eyJ{'a' * 20}.eyJ{'b' * 20}.{'c' * 20}",
    "pypi-" + "A" * 40,
)


def tracked() -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607  git is where the developer has it
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    yield from (ROOT / name for name in listed.stdout.decode().split("\0") if name)


def test_no_file_of_the_repository_holds_a_secret() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout: there is no list of files")
    found = {
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.is_file() and SCANNER.search(path.read_bytes().decode("latin-1"))
    }

    assert found == set()


def test_no_environment_file_is_tracked() -> None:
    assert [
        path.name for path in tracked() if re.fullmatch(r"\.env(?!\.example).*", path.name)
    ] == []


@pytest.mark.parametrize("secret", PLANTED, ids=SECRETS)
def test_the_scanner_finds_what_it_looks_for(secret: str) -> None:
    assert SCANNER.search(f'KEY = "{secret}"')


CANARY = "canary-7f3a9c-of-32-characters-and-more"
DSN = f"postgresql://somebody:{CANARY}@127.0.0.1/pedido"


@pytest.mark.parametrize(
    "kind", [OrderSettings, InventorySettings, PaymentSettings, NotificationSettings]
)
def test_settings_show_no_secret_however_they_are_printed(kind: type[BaseSettings]) -> None:
    settings = kind(**{**NEEDED, **dict(secrets_of(kind))})

    held = [
        name
        for name in type(settings).model_fields
        if isinstance(value := getattr(settings, name), SecretStr)
        and CANARY in value.get_secret_value()
    ]
    assert {"database_url", "redis_url", "cursor_key", "kafka_sasl_password"} <= set(held)
    for printed in (repr(settings), str(settings), settings.model_dump_json(), f"{vars(settings)}"):
        assert CANARY not in printed


NEEDED: dict[str, Any] = {
    "app_env": "test",
    "db_schema": "orders",
    "kafka_bootstrap_servers": "127.0.0.1:9",
    "payment_gateway_url": "http://127.0.0.1:9",
}


def secrets_of(kind: type[BaseSettings]) -> Iterator[tuple[str, str]]:
    """Give every secret setting a value that would be recognised."""
    for name, field in kind.model_fields.items():
        if "PostgresDsn" in str(field.annotation) or name.startswith("database_"):
            yield name, DSN
        elif name == "smtp_url":
            yield name, f"smtp://somebody:{CANARY}@127.0.0.1:25"
        elif "SecretStr" in str(field.annotation):
            yield name, CANARY
