from typing import Annotated, Any

import jsonschema_rs
import pytest
from common.auth import Principal, caller
from common.health import Health
from common.http import Body, Router, create_app
from common.idempotency import IdempotencyKey
from common.openapi import refuses
from common.settings import ServiceSettings
from fastapi import Depends
from pydantic import Field

router = Router(tags=["shop"])


class Purchase(Body):
    sku: Annotated[str, Field(pattern="^[A-Z]+$", examples=["LAMP"])]
    quantity: Annotated[int, Field(ge=3)]
    gift: bool = False
    notes: list[str] | None = None


@router.post("/purchases", status_code=202, responses=refuses(sold_out=409, too_many=422))
async def purchase(
    body: Purchase,
    key: IdempotencyKey,
    buyer: Annotated[Principal, Depends(caller("staff", "admin"))],
) -> Purchase:
    """Buy."""
    del key, buyer
    return body


@router.get("/prices")
async def prices() -> dict[str, int]:
    """Show the prices."""
    return {}


@pytest.fixture
def document() -> dict[str, Any]:
    app = create_app(
        title="Shop",
        service="shop-service",
        settings=ServiceSettings(app_env="test"),
        health=Health(),
        routers=[router],
        problems={"sold_out": "There is none.", "too_many": "Take less."},
    )
    document: dict[str, Any] = app.openapi()
    assert app.openapi() == document  # made once, and the same ever after
    return document


def codes(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, list[str]]:
    parts = document["components"]["responses"]
    return {
        status: list(
            parts[answer["$ref"].rpartition("/")[2]]["content"]["application/problem+json"][
                "examples"
            ]
        )
        for status, answer in operation["responses"].items()
        if "$ref" in answer
    }


def test_an_operation_lists_what_it_implies_and_what_it_says(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/purchases"]["post"]

    assert codes(document, operation) == {
        "400": ["malformed_json", "idempotency_key_required"],
        "401": ["unauthenticated", "token_expired"],
        "403": ["forbidden"],
        "406": ["not_acceptable"],
        "408": ["request_timeout"],
        "409": ["idempotency_in_flight", "sold_out"],
        "413": ["body_too_large"],
        "415": ["unsupported_media_type"],
        "422": ["validation_failed", "idempotency_mismatch", "too_many"],
        "429": ["rate_limited"],
        "500": ["internal_error"],
        "503": ["not_ready", "overloaded"],
    }


def test_an_open_operation_is_not_refused_for_a_login(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/prices"]["get"]

    assert list(codes(document, operation)) == ["406", "429", "500", "503"]
    assert "security" not in operation


def test_the_roles_stand_in_the_document(document: dict[str, Any]) -> None:
    assert document["paths"]["/api/v1/purchases"]["post"]["security"] == [
        {"bearer": ["admin", "staff"]}
    ]
    assert list(document["components"]["securitySchemes"]) == ["bearer"]


def test_a_key_is_required(document: dict[str, Any]) -> None:
    (key,) = document["paths"]["/api/v1/purchases"]["post"]["parameters"]

    assert key["required"]
    assert key["example"]


def test_a_body_has_a_valid_example(document: dict[str, Any]) -> None:
    body = document["paths"]["/api/v1/purchases"]["post"]["requestBody"]["content"]
    content = body["application/json"]

    assert content["example"] == {"sku": "LAMP", "quantity": 3, "gift": False, "notes": ["text"]}
    jsonschema_rs.validate(content["schema"], content["example"])
