import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from common import keys
from common.errors import Unavailable
from common.keys import JwksKeys, StaticKeys, parse, published, thumbprint
from cryptography.hazmat.primitives.asymmetric import ec


def made() -> tuple[str, dict[str, Any]]:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return thumbprint(public), published(public)


class Issuer:
    """An HTTP server that answers every request with what it was told."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.headers = ""
        self.body = b'{"keys": []}'
        self.asked = 0
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        head = f"HTTP/1.1 {self.status}\r\n{self.headers}Content-Length: {len(self.body)}\r\n\r\n"
        writer.write(head.encode() + self.body)
        await writer.drain()
        writer.close()

    def publish(self, *entries: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": entries}).encode()


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    server = await asyncio.start_server(issuer.answer, "127.0.0.1", 0)
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
    async with server:
        yield issuer


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_PATIENCE", 0.0)


async def test_keys_are_fetched_once_and_kept(issuer: Issuer) -> None:
    kid, entry = made()
    issuer.publish(entry)
    source = JwksKeys(issuer.url)

    found = await asyncio.gather(*(source.find(kid) for _ in range(20)))

    assert all(key is not None and thumbprint(key) == kid for key in found)
    assert issuer.asked == 1


async def test_made_up_key_ids_do_not_become_load_on_the_issuer(issuer: Issuer) -> None:
    issuer.publish(made()[1])
    source = JwksKeys(issuer.url)

    found = [await source.find(f"made-up-{number}") for number in range(50)]

    assert found == [None] * 50
    assert issuer.asked == 1


@pytest.mark.usefixtures("impatient")
async def test_an_unknown_id_finds_a_key_that_was_just_added(issuer: Issuer) -> None:
    (old, first), (new, second) = made(), made()
    issuer.publish(first)
    source = JwksKeys(issuer.url)
    await source.find(old)

    issuer.publish(first, second)

    assert await source.find(new) is not None


@pytest.mark.usefixtures("impatient")
async def test_a_removed_key_stops_counting_once_the_keys_are_old(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old, first), (new, second) = made(), made()
    issuer.publish(first)
    source = JwksKeys(issuer.url)
    assert await source.find(old) is not None

    issuer.publish(second)
    monkeypatch.setattr(keys, "_MAX_AGE", -1.0)

    assert await source.find(old) is None
    assert await source.find(new) is not None


@pytest.mark.usefixtures("impatient")
async def test_known_keys_outlive_the_issuer(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid, entry = made()
    issuer.publish(entry)
    source = JwksKeys(issuer.url)
    await source.find(kid)

    issuer.status = "500 Internal Server Error"
    monkeypatch.setattr(keys, "_MAX_AGE", -1.0)

    assert await source.find(kid) is not None


async def test_without_any_key_nobody_is_believed() -> None:
    source = JwksKeys("http://127.0.0.1:9/jwks.json")

    with pytest.raises(Unavailable, match="JWT_JWKS_URL"):
        await source.find("any")


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        ("302 Found", "Location: http://127.0.0.1:9/\r\n", b""),
        ("200 OK", "", b"<html>"),
        ("200 OK", "", b"[]"),
        ("200 OK", "", b'{"keys": [7]}'),
        ("200 OK", "", b'{"keys": [{"kty": "EC", "crv": "P-256", "kid": "a", "x": "b"}]}'),
        ("200 OK", "", b'{"keys": []' + b" " * 70_000 + b"}"),
    ],
    ids=["redirect", "HTML", "a list", "a number", "half a key", "too long"],
)
async def test_a_document_that_is_none_is_not_used(
    issuer: Issuer, status: str, headers: str, body: bytes
) -> None:
    issuer.status, issuer.headers, issuer.body = status, headers, body

    with pytest.raises(Unavailable):
        await JwksKeys(issuer.url).find("a")


def test_keys_of_other_kinds_are_left_alone() -> None:
    kid, entry = made()
    others = [{"kty": "RSA", "kid": "r"}, {"kty": "oct", "kid": "o", "k": "c2VjcmV0"}]

    assert parse(json.dumps({"keys": [*others, entry]}).encode()).keys() == {kid}


def test_a_key_always_has_the_same_name() -> None:
    private = ec.derive_private_key(7, ec.SECP256R1())

    assert thumbprint(private.public_key()) == "ccgscWSOWNe7zfELCIRHTdb7JkVy_Eo2vg371C5rplY"


async def test_own_keys_are_found_by_id() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    source = StaticKeys({"a": key})

    assert await source.find("a") is key
    assert await source.find("b") is None
