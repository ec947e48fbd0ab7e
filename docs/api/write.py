"""Writes each service's OpenAPI document beside itself; `--check` only compares."""  # noqa: INP001  a script

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

from common.settings import load

FOLDER = Path(__file__).parent
SERVICES = ("order", "inventory", "payment", "notification")

_NOWHERE = {
    "APP_ENV": "development",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "PAYMENT_GATEWAY_URL": "http://127.0.0.1:1",
    "PAYMENT_GATEWAY_KEY": "none",
    "SMTP_URL": "smtp://127.0.0.1:1",
}
"""A service connects to nothing until it runs, so a document needs no server."""


def document_of(service: str) -> str:
    """Build the service's application and write down its document."""
    settings = load(import_module(f"{service}_service.settings").Settings)
    api = import_module(f"{service}_service.app").build(settings).api
    return json.dumps(api.openapi(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the documents, or tell which ones differ from the routes."""
    os.environ.update(_NOWHERE)
    found = {FOLDER / f"{service}-service.json": document_of(service) for service in SERVICES}
    if "--check" not in sys.argv[1:]:
        for path, text in found.items():
            path.write_text(text)
        return 0
    stale = [path.name for path, text in found.items() if _read(path) != text]
    if stale:
        sys.stderr.write(f"{', '.join(stale)}: not what the routes are; run `make openapi`\n")
    return 1 if stale else 0


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
