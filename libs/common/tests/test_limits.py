import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx2
import prometheus_client
import pytest
import pytest_asyncio
from common import limits, tally
from common.auth import Authenticated, Principal, TokenIssuer
from common.errors import Refusal
from common.health import Health
from common.http import Router, create_app
from common.limits import Limits, Policy, limits_of
from common.settings import JwtIssuerSettings, Rate
from devstack import valkey
from devstack.processes import Processes
from fastapi import Depends, FastAPI, Request
from pydantic import SecretStr
from redis.asyncio import Redis

from tests.support.waiting import eventually

router = Router()
issuer = TokenIssuer(JwtIssuerSettings(app_env="development"))
STRICT = Policy("guess", Rate(2, 3600))


@router.get("/open")
async def open_to_all() -> str:
    return "come in"


@router.get("/mine")
async def mine(caller: Authenticated) -> str:
    return str(caller.id)


@router.get("/guess/{word}")
async def guess(word: str, request: Request, own: Annotated[Limits, Depends(limits_of)]) -> str:
    await own.hit(request, STRICT, word)
    return word


def application(**settings: Any) -> FastAPI:
    return create_app(
        title="Shop",
        service="shop-service",
        settings=JwtIssuerSettings(**{"app_env": "development", **settings}),
        health=Health(),
        verifier=issuer.verifier(),
        routers=[router],
    )


def client(app: FastAPI, address: str = "192.0.2.1") -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, client=(address, 1))
    return httpx2.AsyncClient(transport=transport, base_url="http://shop/api/v1")


def bearer(number: int) -> dict[str, str]:
    token = issuer.issue(Principal(UUID(int=number), frozenset({"customer"})))
    return {"Authorization": f"Bearer {token}"}


async def statuses(http: httpx2.AsyncClient, path: str, times: int, **options: Any) -> list[int]:
    return [(await http.get(path, **options)).status_code for _ in range(times)]


async def test_an_address_with_an_empty_bucket_is_told_when_to_come_again() -> None:
    async with client(application(rate_limit_address="2/1h")) as http:
        assert await statuses(http, "/open", 2) == [200, 200]

        answer = await http.get("/open")

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (429, "rate_limited")
    assert problem["retryable"] is True
    assert 1790 <= int(answer.headers["retry-after"]) <= 1800


async def test_a_bucket_fills_again_while_nobody_takes_from_it() -> None:
    async with client(application(rate_limit_address="1/200ms")) as http:

        async def told(status: int) -> bool:
            return (await http.get("/open")).status_code == status

        assert await told(200)
        await eventually(lambda: told(429))  # not the second: 200 ms may have passed
        await eventually(lambda: told(200), deadline=2)


async def test_an_answer_tells_the_policy_and_what_is_left() -> None:
    async with client(application(rate_limit_address="10/1m")) as http:
        answer = await http.get("/open")

    assert answer.headers["ratelimit-policy"] == '"address";q=10;w=60'
    assert answer.headers["ratelimit"] == '"address";r=9;t=6'


async def test_one_address_does_not_take_from_another() -> None:
    app = application(rate_limit_address="1/1h")

    async with client(app) as one, client(app, "192.0.2.2") as two:
        assert await statuses(one, "/open", 2) == [200, 429]
        assert await statuses(two, "/open", 1) == [200]


async def test_one_customer_of_ipv6_has_one_bucket_however_many_addresses() -> None:
    app = application(rate_limit_address="1/1h")

    async with client(app, "2001:db8::1") as one, client(app, "2001:db8::2%eth0") as two:
        assert await statuses(one, "/open", 1) == [200]
        assert await statuses(two, "/open", 1) == [429]


async def test_customers_of_ipv4_have_a_bucket_each_on_a_socket_for_both() -> None:
    app = application(rate_limit_address="1/1h")

    async with client(app, "::ffff:192.0.2.1") as one, client(app, "::ffff:192.0.2.2") as two:
        assert await statuses(one, "/open", 2) == [200, 429]
        assert await statuses(two, "/open", 1) == [200]
    async with client(app, "192.0.2.1") as one:
        assert await statuses(one, "/open", 1) == [429]


async def test_callers_behind_one_address_have_a_bucket_each() -> None:
    app = application(rate_limit_address="3/1h", rate_limit_principal="2/1h")

    async with client(app) as http:
        assert await statuses(http, "/mine", 1, headers=bearer(1)) == [200]
        assert await statuses(http, "/mine", 1, headers=(two := bearer(2))) == [200]

        assert await statuses(http, "/open", 2) == [200, 429]
        assert await statuses(http, "/mine", 3, headers=two) == [200, 200, 429]


async def test_a_principal_has_one_bucket_wherever_it_calls_from() -> None:
    app, me = application(rate_limit_principal="1/1h"), bearer(1)

    async with client(app) as home, client(app, "192.0.2.2") as work:
        assert await statuses(home, "/mine", 2, headers=me) == [200, 200]
        assert await statuses(work, "/mine", 1, headers=me) == [429]


@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-For": "198.51.100.7"},
        {"Forwarded": "for=198.51.100.7"},
        {"X-Real-IP": "198.51.100.7"},
        {"Authorization": "Bearer made.up.token"},
        {"Authorization": "\xff"},
    ],
    ids=["forwarded for", "forwarded", "real ip", "made-up token", "no ASCII"],
)
async def test_a_header_does_not_buy_a_new_bucket(header: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in header.items()]

    async with client(application(rate_limit_address="1/1h")) as http:
        assert await statuses(http, "/open", 1) == [200]

        assert await statuses(http, "/open", 1, headers=raw) == [429]


async def test_a_probe_of_life_is_never_refused() -> None:
    async with client(application(rate_limit_address="1/1h")) as http:
        assert await statuses(http, "/health/live", 3) == [200] * 3


async def test_a_refused_request_costs_nothing_more() -> None:
    async with client(application(rate_limit_address="1/1h")) as http:
        first = [await http.get("/open") for _ in range(50)][-1]

    assert int(first.headers["retry-after"]) <= 3600


async def test_a_route_may_have_a_stricter_bucket_of_its_own() -> None:
    async with client(application()) as http:
        answer = await http.get("/guess/word")

        assert answer.headers["ratelimit-policy"] == '"address";q=3000;w=60, "guess";q=2;w=3600'
        assert await statuses(http, "/guess/word", 2) == [200, 429]
        assert await statuses(http, "/guess/another", 1) == [200]


async def test_what_is_refused_is_counted() -> None:
    before = refused("address")
    async with client(application(rate_limit_address="1/1h")) as http:
        await statuses(http, "/open", 3)

    assert refused("address") == before + 2


def refused(bucket: str) -> float:
    name, labels = "pedido_rate_limited_total", {"bucket": bucket}
    return prometheus_client.REGISTRY.get_sample_value(name, labels) or 0.0


def test_the_buckets_of_endless_callers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOST_BUCKETS", 10)
    buckets, policy = limits.Buckets(), Policy("address", Rate(1, 3600))

    for number in range(100):
        buckets.take(policy, str(number))

    assert len(buckets.unshared()) == 10
    with pytest.raises(Refusal):
        buckets.take(policy, "99")


def test_who_has_not_called_for_longest_is_forgotten_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "_MOST_BUCKETS", 3)
    buckets, policy = limits.Buckets(), Policy("address", Rate(2, 3600))

    for caller in ("busy", "first", "second", "busy", "third"):
        buckets.take(policy, caller)

    with pytest.raises(Refusal):
        buckets.take(policy, "busy")
    buckets.take(policy, "first")
    assert len(buckets.unshared()) == 3


@dataclass
class Server:
    """A Valkey of the test's own, to be frozen and killed."""

    processes: Processes
    url: str

    def send(self, number: signal.Signals) -> None:
        self.processes["valkey"].send(number)


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    processes = Processes(tmp_path)
    try:
        yield Server(processes, await valkey.start(processes, tmp_path))
    finally:
        await processes.stop_all()


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count together however slow the machine: ten connections at once may take the 100 ms."""
    monkeypatch.setattr(tally, "_PATIENCE", 20.0)


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    stop = asyncio.Event()
    task = asyncio.create_task(app.state.limits.run(stop))
    async with client(app) as http:
        yield http
    stop.set()
    await task


def sharing(server: Server, **settings: Any) -> FastAPI:
    return application(redis_url=SecretStr(server.url), **settings)


@pytest.mark.redis
@pytest.mark.usefixtures("_patient")
async def test_two_processes_share_a_count(server: Server) -> None:
    one, two = (sharing(server, rate_limit_address="100/1h") for _ in range(2))

    async with running(one) as first, running(two) as second:
        await statuses(first, "/open", 60)
        asked = 0

        async def both_are_counted() -> bool:
            nonlocal asked
            asked += 1
            return remaining(await second.get("/open")) == 40 - asked

        assert await eventually(both_are_counted)
        assert await statuses(second, "/open", 41 - asked) == [200] * (40 - asked) + [429]


def remaining(answer: httpx2.Response) -> int:
    return int(answer.headers["ratelimit"].split("r=")[1].split(";")[0])


@pytest.mark.redis
@pytest.mark.usefixtures("_patient")
async def test_a_stricter_bucket_is_counted_exactly_among_processes(server: Server) -> None:
    apps = [sharing(server) for _ in range(2)]

    async with running(apps[0]) as one, running(apps[1]) as two:
        await eventually(lambda: all(app.state.limits._tally for app in apps))
        answers = await asyncio.gather(*(http.get("/guess/x") for http in (one, two) * 10))

    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 18


@pytest.mark.redis
@pytest.mark.usefixtures("_patient")
async def test_what_is_kept_expires_by_itself(server: Server) -> None:
    async with running(sharing(server, rate_limit_address="1/1h")) as http:
        await http.get("/open")
        valkey_client = Redis.from_url(server.url)

        async def kept() -> list[bytes]:
            return list(await valkey_client.keys())

        assert await eventually(kept) == [b"pedido:rate:shop-service:address:192.0.2.1"]
        assert 3500 < await valkey_client.ttl((await kept())[0]) <= 3600
        await valkey_client.aclose()


@pytest.mark.redis
@pytest.mark.parametrize("blow", [signal.SIGSTOP, signal.SIGKILL], ids=["frozen", "killed"])
async def test_requests_go_on_and_are_not_slower_while_valkey_is_away(
    server: Server, blow: signal.Signals
) -> None:
    app = sharing(server, rate_limit_address="1000/1h")
    async with running(app) as http:
        await eventually(lambda: app.state.limits._tally)
        server.send(blow)

        assert await statuses(http, "/guess/a", 1) == [200]
        assert shared() == 0
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await statuses(http, "/guess/b", 2) == [200, 200]
        assert await statuses(http, "/open", 100) == [200] * 100
        assert loop.time() - began < 2


@pytest.mark.redis
async def test_limits_hold_in_each_process_while_valkey_is_away(server: Server) -> None:
    async with running(sharing(server, rate_limit_address="2/1h")) as http:
        server.send(signal.SIGSTOP)

        assert await statuses(http, "/open", 3) == [200, 200, 429]


@pytest.mark.redis
async def test_counts_are_shared_again_when_valkey_is_back(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "_SHUN", 0.1)
    app = sharing(server)
    async with running(app) as http:
        await eventually(lambda: app.state.limits._tally)
        server.send(signal.SIGSTOP)
        await http.get("/guess/a")
        assert shared() == 0

        server.send(signal.SIGCONT)

        async def again() -> bool:
            await http.get("/open")
            return shared() == 1

        assert await eventually(again)


def shared() -> float:
    return prometheus_client.REGISTRY.get_sample_value("pedido_rate_limits_shared") or 0.0
