"""JSON from strangers: what parsers disagree about is refused here, before anything reads it."""

import json
import re
from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any, NoReturn

_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|\x00")
"""Escapes that may stand for NUL, which Postgres refuses, or for half of a surrogate pair."""

_UNUSABLE = re.compile("[\x00\ud800-\udfff]")


def parse(raw: bytes) -> Any:
    """Parse UTF-8 without BOM, duplicate names, NaN, NUL or lone surrogates, or JSONDecodeError."""
    try:
        text = raw.decode()
        value = _DECODER.decode(text)
    except UnicodeDecodeError:
        raise JSONDecodeError("it is not UTF-8", "", 0) from None
    except RecursionError:
        raise JSONDecodeError("it is nested too deeply", "", 0) from None
    except JSONDecodeError:
        raise
    except ValueError as error:  # an integer of more digits than Python converts
        raise JSONDecodeError("a number is too long", "", 0) from error
    if _SUSPICIOUS.search(text) and any(_UNUSABLE.search(found) for found in _strings(value)):
        raise JSONDecodeError("a text holds NUL or half of a surrogate pair", "", 0)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise JSONDecodeError("a name occurs twice in one object", "", 0)
    return value


def _refuse_constant(_name: str) -> NoReturn:
    raise JSONDecodeError("NaN and Infinity are not JSON", "", 0)


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
