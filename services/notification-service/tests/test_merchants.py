import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from notification_service.channels.merchants import Merchants, Resolve
from notification_service.domain.deliveries import Answered, Unanswered

from tests.support.merchant import Merchant, open_booth, open_shop

PAYLOAD = '{"type":"order.confirmed","data":{"orderId":"1"}}'


@asynccontextmanager
async def calling(
    *,
    private_allowed: bool = True,
    timeout: float = 5.0,
    resolve: Resolve | None = None,
    trust: ssl.SSLContext | None = None,
) -> AsyncIterator[Merchants]:
    async with Merchants(
        timeout=timedelta(seconds=timeout),
        connections=4,
        private_allowed=private_allowed,
        resolve=resolve,
        trust=trust,
    ) as merchants:
        yield merchants


def leading_to(*answers: Sequence[str]) -> Resolve:
    """Make a name server that gives these answers, one after the other."""
    waiting = list(answers)

    async def resolve(_host: str, _port: int) -> list[str]:
        return list(waiting.pop(0))

    return resolve


async def test_a_merchant_gets_the_very_bytes_that_were_signed() -> None:
    async with open_shop(Merchant()) as shop, calling() as merchants:
        answer = await merchants.post(shop.url, {"webhook-id": "1"}, PAYLOAD)

    (call,) = shop.calls
    assert isinstance(answer, Answered)
    assert answer.status == 200
    assert call.body == PAYLOAD.encode()
    assert call.headers["content-type"] == "application/json"
    assert call.headers["host"] == f"127.0.0.1:{shop.port}"
    assert call.headers["webhook-id"] == "1"


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async with (
        open_shop(Merchant()) as inside,
        open_shop(Merchant(status=307, headers={"Location": inside.url})) as shop,
        calling() as merchants,
    ):
        answer = await merchants.post(shop.url, {}, PAYLOAD)

    assert isinstance(answer, Answered)
    assert (answer.status, answer.outcome) == (307, "redirected")
    assert inside.calls == []


async def test_a_merchant_that_hangs_is_left() -> None:
    async with open_shop(Merchant(hangs=True)) as shop, calling(timeout=0.2) as merchants:
        answer = await merchants.post(shop.url, {}, PAYLOAD)

    assert isinstance(answer, Unanswered)
    assert answer.outcome == "timeout"
    assert answer.latency < timedelta(seconds=2)


async def test_a_name_server_that_hangs_is_left() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        await asyncio.sleep(30)
        return []

    async with calling(timeout=0.2, resolve=resolve) as merchants:
        answer = await merchants.post("https://shop.example/", {}, PAYLOAD)

    assert isinstance(answer, Unanswered)
    assert answer.outcome == "timeout"


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@pytest.mark.parametrize(
    ("answer", "forever"),
    [
        (OK + b"Content-Length: 10000000000\r\n\r\n", b"x" * 65536),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n", b"not gzip "),
    ],
    ids=["endless body", "endless chunks", "what is not gzip"],
)
async def test_a_body_is_nobodys_business_however_long(answer: bytes, forever: bytes) -> None:
    async with open_booth(answer, forever=forever) as port, calling() as merchants:
        found = await merchants.post(f"http://127.0.0.1:{port}/", {}, PAYLOAD)

    assert isinstance(found, Answered)
    assert found.status == 200
    assert found.latency < timedelta(seconds=2)


@pytest.mark.parametrize(
    ("answer", "forever"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", b""),
        (b"HTTP/1.1 999999 Odd\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000, b""),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 1000),
        (b"\x00\xff\x00\xff", b""),
        (b"", b""),
    ],
    ids=["another protocol", "no status", "endless header", "endless headers", "noise", "nothing"],
)
async def test_what_is_no_answer_is_a_failure(answer: bytes, forever: bytes) -> None:
    async with open_booth(answer, forever=forever) as port, calling(timeout=1.0) as merchants:
        found = await merchants.post(f"http://127.0.0.1:{port}/", {}, PAYLOAD)

    assert isinstance(found, Unanswered)
    assert found.outcome in {"not_http", "connection_lost", "timeout"}


async def test_a_merchant_who_is_away_is_a_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with calling() as merchants:
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
            answer = await merchants.post(url, {}, PAYLOAD)

    assert isinstance(answer, Unanswered)
    assert answer.outcome == "connection_failed"


async def test_a_name_that_nobody_knows_is_a_failure() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async with calling(resolve=resolve) as merchants:
        answer = await merchants.post("https://shop.example/", {}, PAYLOAD)

    assert isinstance(answer, Unanswered)
    assert answer.outcome == "name_unknown"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "[::1]"],
)
async def test_however_it_is_written_our_own_machine_is_not_called(host: str) -> None:
    async with open_shop(Merchant()) as shop, calling(private_allowed=False) as merchants:
        answer = await merchants.post(f"http://{host}:{shop.port}/", {}, PAYLOAD)

    assert isinstance(answer, Unanswered)
    assert answer.outcome in {"address_refused", "name_unknown"}
    assert shop.calls == []


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]],
    ids=str,
)
async def test_a_name_that_leads_inside_is_not_called(addresses: list[str]) -> None:
    async with (
        open_shop(Merchant()) as shop,
        calling(private_allowed=False, resolve=leading_to(addresses)) as merchants,
    ):
        answer = await merchants.post(f"http://shop.example:{shop.port}/", {}, PAYLOAD)

    assert isinstance(answer, Unanswered)
    assert answer.outcome == "address_refused"
    assert shop.calls == []


async def test_a_name_is_looked_up_once_so_it_can_not_change_its_mind() -> None:
    """A second question would find no answer left."""
    async with (
        open_shop(Merchant()) as shop,
        calling(resolve=leading_to(["127.0.0.1"])) as merchants,
    ):
        answer = await merchants.post(f"http://shop.example:{shop.port}/", {}, PAYLOAD)

    assert isinstance(answer, Answered)
    (call,) = shop.calls
    assert call.headers["host"] == f"shop.example:{shop.port}"


async def test_each_call_looks_up_anew_and_keeps_no_connection() -> None:
    rebinding = leading_to(["93.184.216.34"], ["127.0.0.1"])
    async with (
        open_shop(Merchant()) as shop,
        calling(private_allowed=False, timeout=0.3, resolve=rebinding) as merchants,
    ):
        url = f"http://shop.example:{shop.port}/"
        first = await merchants.post(url, {}, PAYLOAD)
        second = await merchants.post(url, {}, PAYLOAD)

    assert isinstance(first, Unanswered)
    assert first.outcome != "address_refused"
    assert isinstance(second, Unanswered)
    assert second.outcome == "address_refused"
    assert shop.calls == []


@pytest.mark.parametrize(
    ("host", "outcome"), [("shop.example", "delivered"), ("other.example", "tls_failed")]
)
async def test_a_certificate_must_be_for_the_name_that_was_asked_for(
    tmp_path: Path, host: str, outcome: str
) -> None:
    serving, trusting = contexts(tmp_path, "shop.example")
    async with (
        open_shop(Merchant(), serving) as shop,
        calling(resolve=leading_to(["127.0.0.1"]), trust=trusting) as merchants,
    ):
        answer = await merchants.post(f"https://{host}:{shop.port}/", {}, PAYLOAD)

    assert answer.outcome == outcome


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    serving, _ = contexts(tmp_path, "shop.example")
    async with (
        open_shop(Merchant(), serving) as shop,
        calling(resolve=leading_to(["127.0.0.1"])) as merchants,
    ):
        answer = await merchants.post(f"https://shop.example:{shop.port}/", {}, PAYLOAD)

    assert answer.outcome == "tls_failed"
    assert shop.calls == []


@pytest.mark.parametrize(
    ("header", "wanted"),
    [("120", 120), ("0", 0), ("-1", 0), ("9" * 50, 0), ("Fri, 27 Nov 2026 12:00:00 GMT", 0)],
)
async def test_a_merchant_says_in_seconds_when_to_come_again(header: str, wanted: int) -> None:
    busy = Merchant(status=503, headers={"Retry-After": header})
    async with open_shop(busy) as shop, calling() as merchants:
        answer = await merchants.post(shop.url, {}, PAYLOAD)

    assert isinstance(answer, Answered)
    assert answer.retry_after == timedelta(seconds=wanted)


def contexts(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a server's context for that name, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(file)
    return serving, ssl.create_default_context(cafile=str(file))
