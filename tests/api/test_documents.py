"""The committed OpenAPI documents are what the routes are, and a client can be made of them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest

from tests.api.documents import DOCUMENTS, FOLDER, Operation, operations

every_operation = pytest.mark.parametrize(
    "operation", list(operations()), ids=lambda each: each.label
)


def test_every_service_has_a_document() -> None:
    assert sorted(DOCUMENTS) == [
        f"{name}-service" for name in ("inventory", "notification", "order", "payment")
    ]


def test_the_documents_are_what_the_routes_are() -> None:
    script = [sys.executable, str(FOLDER / "write.py"), "--check"]

    checked = subprocess.run(script, capture_output=True, text=True, check=False)  # noqa: S603

    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("service", DOCUMENTS)
def test_no_two_operations_share_an_id(service: str) -> None:
    ids = [each.says["operationId"] for each in operations() if each.service == service]

    assert len(set(ids)) == len(ids)


@every_operation
def test_an_operation_says_what_it_does(operation: Operation) -> None:
    assert operation.says["description"].rstrip().endswith((".", "`"))
    assert operation.says["tags"]


@every_operation
def test_an_operation_lists_how_it_is_refused(operation: Operation) -> None:
    responses = operation.says["responses"]

    assert {"406", "429", "500", "503"} <= responses.keys()
    assert not {"4XX", "5XX", "default"} & responses.keys()
    if "security" in operation.says:
        assert "401" in responses
    for status, response in responses.items():
        if status >= "400":
            name = response["$ref"].rpartition("/")[2]
            assert DOCUMENTS[operation.service]["components"]["responses"][name]["content"]


@every_operation
def test_what_an_operation_takes_has_a_valid_example(operation: Operation) -> None:
    for content in operation.says.get("requestBody", {}).get("content", {}).values():
        given = [each["value"] for each in content.get("examples", {}).values()]
        for example in given or [content["example"]]:
            validator_of(operation, content["schema"]).validate(example)
    for parameter in operation.says.get("parameters", ()):
        validator_of(operation, parameter["schema"]).validate(parameter["example"])


@every_operation
def test_what_an_operation_answers_has_a_valid_example(operation: Operation) -> None:
    for status, response in operation.says["responses"].items():
        for kind, content in response.get("content", {}).items() if status < "300" else ():
            if kind == "application/json":
                validator_of(operation, content["schema"]).validate(content["example"])


def validator_of(operation: Operation, schema: dict[str, Any]) -> Any:
    """Make a validator that finds the document's own parts."""
    components = DOCUMENTS[operation.service]["components"]
    return jsonschema_rs.Draft202012Validator(
        {**schema, "components": components}, validate_formats=True
    )
