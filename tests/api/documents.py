"""The committed OpenAPI documents, operation by operation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "api"
DOCUMENTS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}
METHODS = ("get", "post", "put", "patch", "delete")


class Operation(NamedTuple):
    """One operation of one document."""

    service: str
    method: str
    path: str
    says: dict[str, Any]

    @property
    def name(self) -> str:
        """Name it as people do: method and path."""
        return f"{self.method} {self.path}"

    @property
    def label(self) -> str:
        """Name it among all services."""
        return f"{self.service} {self.name}"

    @property
    def example(self) -> Any:
        """Return the example of what it takes, or nothing if it takes nothing."""
        for content in self.says.get("requestBody", {}).get("content", {}).values():
            return next(
                (each["value"] for each in content.get("examples", {}).values()),
                content.get("example"),
            )
        return None


def operations() -> Iterator[Operation]:
    """List every operation of every service."""
    for service, document in DOCUMENTS.items():
        for path, item in document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield Operation(service, method.upper(), path, item[method])
