import contextlib
import json

import pytest
from common import strict_json
from hypothesis import given, settings
from hypothesis import strategies as st

REFUSED = {
    "empty": b"",
    "no JSON": b"{quantity: 1}",
    "trailing text": b"{} {}",
    "NaN": b'{"quantity": NaN}',
    "Infinity": b"[Infinity]",
    "minus Infinity": b"[-Infinity]",
    "duplicate name": b'{"sku": "a", "sku": "b"}',
    "duplicate name, escaped": b'{"sku": 1, "s\\u006bu": 2}',
    "duplicate name, deep": b'[{"a": {"b": 1, "b": 2}}]',
    "BOM": b'\xef\xbb\xbf{"sku": "a"}',
    "UTF-16": '{"sku": "a"}'.encode("utf-16"),
    "not UTF-8": b'{"sku": "\xff"}',
    "lone surrogate": b'{"sku": "\\ud800"}',
    "lone low surrogate": b'{"sku": "\\uDC00"}',
    "lone surrogate in a name": b'{"\\ud800": 1}',
    "NUL": b'{"sku": "a\\u0000b"}',
    "raw NUL": b'{"sku": "a\x00b"}',
    "control character": b'{"sku": "a\nb"}',
    "depth 10,000": b"[" * 10_000 + b"]" * 10_000,
    "depth 10,000 of objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "endless integer": b"[" + b"9" * 5_000 + b"]",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_what_parsers_disagree_about_is_refused(raw: bytes) -> None:
    with pytest.raises(json.JSONDecodeError):
        strict_json.parse(raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"sku": "\\ud83d\\udce6"}', {"sku": "\U0001f4e6"}),
        (b'{"sku": "\\\\u0000"}', {"sku": "\\u0000"}),
        (b'{"a": {"sku": 1}, "b": {"sku": 2}}', {"a": {"sku": 1}, "b": {"sku": 2}}),
        (b" [1, 2.5, true, null] ", [1, 2.5, True, None]),
    ],
    ids=["surrogate pair", "escaped backslash", "same name in two objects", "white space"],
)
def test_what_only_looks_odd_is_taken(raw: bytes, expected: object) -> None:
    assert strict_json.parse(raw) == expected


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | plain,
    lambda inner: st.lists(inner) | st.dictionaries(plain, inner),
    max_leaves=20,
)


@settings(deadline=None)  # a busy machine may stand still for longer than any example takes
@given(documents, st.booleans())
def test_every_clean_document_is_taken_as_it_is(document: object, ascii_only: bool) -> None:  # noqa: FBT001 - drawn
    assert strict_json.parse(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    with contextlib.suppress(json.JSONDecodeError):
        strict_json.parse(raw)
