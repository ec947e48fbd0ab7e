"""What the contract tests read: the files of schemas/ and the commands beside them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.fixture(scope="session")
def topics() -> dict[str, dict[str, Any]]:
    declared: dict[str, dict[str, Any]] = yaml.safe_load((SCHEMAS / "topics.yaml").read_text())
    return declared["topics"]


@pytest.fixture(scope="session")
def ids() -> dict[str, int]:
    found: dict[str, int] = json.loads((SCHEMAS / "ids.json").read_text())
    return found


@pytest.fixture(scope="session")
def release() -> ModuleType:
    return _command("release")


@pytest.fixture(scope="session")
def asyncapi() -> ModuleType:
    return _command("asyncapi")


def _command(name: str) -> ModuleType:
    """Import a command of schemas/, which is a folder of contracts and no package."""
    spec = importlib.util.spec_from_file_location(name, SCHEMAS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
