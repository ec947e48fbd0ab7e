from pathlib import Path

import common
import grimp
import pytest

SERVICES = ("order_service", "inventory_service", "payment_service", "notification_service")
FOLDER = Path(str(common.__file__)).parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
SHAPES = {"utils", "util", "helpers", "base", "core", "constants", "types", "models", "misc"}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("common", *SERVICES, cache_dir=None)


@pytest.mark.parametrize("module", MODULES)
def test_a_shared_module_serves_at_least_two_services(
    module: str, imports: grimp.ImportGraph
) -> None:
    users = {name.split(".")[0] for name in imports.find_downstream_modules(f"common.{module}")}

    assert len(users & set(SERVICES)) >= 2


@pytest.mark.parametrize("module", MODULES)
def test_a_shared_module_is_named_for_a_capability(module: str) -> None:
    assert module not in SHAPES


def test_the_shared_library_is_flat_and_its_init_is_empty() -> None:
    folders = [path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0] != "_"]

    assert folders == []
    assert (FOLDER / "__init__.py").read_text() == ""
