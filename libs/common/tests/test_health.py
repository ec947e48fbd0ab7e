import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio
from common.auth import Principal, TokenIssuer
from common.errors import Flood, Unavailable
from common.health import Check, Health
from common.http import create_app
from common.settings import JwtIssuerSettings

OPERATOR = Principal(UUID(int=1), frozenset({"operator"}))
CUSTOMER = Principal(UUID(int=2), frozenset({"customer"}))


async def well() -> None:
    return None


async def away() -> None:
    message = "the database is away at 10.0.0.7"
    raise Unavailable(message)


async def flooded() -> None:
    raise Flood


async def refused() -> None:
    raise ConnectionRefusedError


async def silent() -> None:
    await asyncio.Event().wait()


issuer = TokenIssuer(JwtIssuerSettings(app_env="development"))


class Service:
    def __init__(self) -> None:
        self.health = Health(ready={"database": well})
        settings = JwtIssuerSettings.model_validate(
            {"app_env": "development", "health_check_timeout": "100ms"}
        )
        app = create_app(
            title="Shop",
            service="shop-service",
            settings=settings,
            health=self.health,
            verifier=issuer.verifier(),
        )
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://shop/api/v1"
        )


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    async with service.http:
        yield service


async def test_a_process_whose_checks_pass_is_ready(service: Service) -> None:
    for path in ("/health", "/health/ready", "/health/live"):
        assert (await service.http.get(path)).status_code == 200


@pytest.mark.parametrize(
    "check", [away, flooded, refused, silent], ids=["away", "flooded", "refused", "silent"]
)
async def test_a_failing_check_takes_the_process_out_of_service_and_no_more(
    service: Service, check: Check
) -> None:
    service.health.ready = {"database": well, "schema": check}

    ready = await service.http.get("/health/ready")
    live = await service.http.get("/health/live")

    assert ready.status_code == 503
    assert ready.json()["code"] == "not_ready"
    assert "schema" in ready.json()["detail"]
    assert "database" not in ready.json()["detail"]
    assert "10.0.0.7" not in ready.text
    assert ready.headers["retry-after"]
    assert live.status_code == 200


async def test_what_is_merely_worth_knowing_does_not_count(service: Service) -> None:
    service.health.worth_knowing = {"broker": away}

    assert (await service.http.get("/health/ready")).status_code == 200


async def test_a_process_that_shuts_down_is_alive_and_not_ready(service: Service) -> None:
    service.health.draining = True

    assert (await service.http.get("/health/ready")).status_code == 503
    assert (await service.http.get("/health/live")).status_code == 200


@pytest.mark.parametrize(
    ("principal", "status"),
    [(None, 401), (CUSTOMER, 403), (OPERATOR, 200)],
    ids=["nobody", "customer", "operator"],
)
async def test_only_an_operator_sees_the_parts(
    service: Service, principal: Principal | None, status: int
) -> None:
    headers = {"Authorization": f"Bearer {issuer.issue(principal)}"} if principal else {}

    answer = await service.http.get("/health/detailed", headers=headers)

    assert answer.status_code == status


async def test_the_parts_are_shown_with_their_latency(service: Service) -> None:
    service.health.worth_knowing = {"broker": refused}
    headers = {"Authorization": f"Bearer {issuer.issue(OPERATOR)}"}

    parts = (await service.http.get("/health/detailed", headers=headers)).json()

    assert parts["required"]["database"]["status"] == "up"
    assert parts["required"]["database"]["latencyMs"] >= 0
    assert parts["worthKnowing"]["broker"] == {
        "status": "down",
        "reason": "ConnectionRefusedError",
        "latencyMs": parts["worthKnowing"]["broker"]["latencyMs"],
    }
