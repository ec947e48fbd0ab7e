"""What schemathesis can't know: which things exist, and which rules no schema can express."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import schemathesis
from schemathesis import generation
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import TestPhase

THINGS: dict[str, str] = json.loads(os.environ.get("FUZZ_THINGS", "{}"))

generation.RANDOM.seed(os.environ.get("FUZZ_CASES"))  # makes the cases' ids, which we choose by

BEYOND_SCHEMA = frozenset(
    {
        ("query/cursor", "invalid"),  # it is signed
        ("/paymentMethod", "value_error"),  # no card number
        ("/url", "invalid"),  # an address of the open Internet
        ("/to", "invalid"),  # a time that is over, after `from`
        ("/products", "sku_twice"),
        ("/lines/0/lineNo", "unknown_line"),
    }
)
"""Where, and with which code, a value of the right form may still be refused."""

_UNSTORABLE = re.compile(r"\\u0000|\\ud[89a-f]", re.IGNORECASE)
"""No text in PostgreSQL holds these, and a schema can't say so of free-form members."""


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Let half of the valid requests be about things that exist."""
    if not _is_valid(case) or case.meta.phase.name is TestPhase.STATEFUL:
        return
    if sum(case.id.encode()) % 2:
        for name in case.path_parameters.keys() & THINGS.keys():
            case.path_parameters[name] = THINGS[name]
        if case.operation.label == "POST /api/v1/orders" and isinstance(case.body, dict):
            for item in case.body["items"]:
                item["productId" if "productId" in item else "sku"] = THINGS["sku"]


@schemathesis.check
def valid_requests_are_not_called_invalid(_context: Any, response: Any, case: Any) -> None:
    """Tell the rules that only the database knows (another code) from a schema that is too wide."""
    if not _is_valid(case) or response.status_code not in {400, 422}:
        return
    problem = response.json()
    found = {
        (re.sub(r"/\d+", "/0", error["pointer"]), error["code"])
        for error in problem.get("errors", ())
    }
    if any(code == "int_type" for _, code in found):
        return  # to JSON Schema 1.0 is an integer; here it is none
    if problem["code"] == "validation_failed" and not found <= BEYOND_SCHEMA:
        message = f"valid by the document, and refused: {problem['errors']}"
        raise AssertionError(message)
    if response.status_code == 400 and not _UNSTORABLE.search(json.dumps(case.body)):
        message = f"valid by the document, and refused: {problem['detail']}"
        raise AssertionError(message)


def _is_valid(case: Any) -> bool:
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
