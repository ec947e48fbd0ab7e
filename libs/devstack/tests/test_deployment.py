"""Services run on a database and topics of their own, can be killed, and come back."""

import httpx2
import pytest
from devstack.deployment import Deployment
from devstack.topology import SERVICES

pytestmark = [pytest.mark.saga, pytest.mark.timeout(120)]


async def test_services_start_die_and_start_again(services: Deployment) -> None:
    await services.start()
    killed = services.pid("payment")

    services.kill("payment")

    with pytest.raises(httpx2.ConnectError):
        await _health(services, "payment")
    await services.start("payment")
    assert services.pid("payment") != killed
    assert [await _health(services, name) for name in SERVICES] == [200] * 4


async def test_a_service_runs_as_three_processes(services: Deployment) -> None:
    await services.start_apart("order")
    pids = {services.pid("order", mode) for mode in ("api", "consume", "relay")}

    health = await _health(services, "order")
    await services.stop("order")

    assert len(pids) == 3
    assert health == 200
    with pytest.raises(httpx2.ConnectError):
        await _health(services, "order")


async def test_a_service_is_told_its_own_role_and_the_tests_own_topics(
    services: Deployment,
) -> None:
    order, payment = services.env("order"), services.env("payment")

    assert order["DATABASE_URL"].startswith("postgresql://orders_app:")
    assert order["DATABASE_OWNER_URL"].startswith("postgresql://orders_owner:")
    assert order["DB_SCHEMA"] == "orders"
    assert order["TOPIC_PREFIX"] == payment["TOPIC_PREFIX"] != ""
    assert payment["JWT_JWKS_URL"].startswith(services.url("order"))


async def _health(services: Deployment, name: str) -> int:
    async with httpx2.AsyncClient(base_url=services.url(name)) as client:
        return (await client.get("/api/v1/health/ready")).status_code
