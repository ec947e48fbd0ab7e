from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta

import pytest
from order_service import app
from order_service.app import commands
from order_service.domain import Patience
from order_service.handlers import progress
from order_service.messages import PaymentVoided, StockReleased
from order_service.settings import Settings

from tests.support.orders import open_desk
from tests.support.postgres import Databases
from tests.support.shop import Shop


async def run(
    databases: Databases, *words: str, typed: str = "", **env: str
) -> tuple[int | None, str]:
    """Run the service's command on the test's database; answers exit code and all output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "order_service",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "APP_ENV": "development",
            "DATABASE_URL": databases.app_dsn("orders"),
            "DB_SCHEMA": "orders",
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
            **env,
        },
    )
    out, _ = await process.communicate(typed.encode())
    return process.returncode, out.decode()


def test_the_sagas_durations_are_settings() -> None:
    settings = Settings(
        app_env="development",
        database_url="postgresql://nobody@127.0.0.1/none",
        kafka_bootstrap_servers="127.0.0.1:9",
        order_deadline="1m",
        decision_deadline="2m",
        closing_answer_timeout="3s",
        compensation_timeout="4s",
        completion_timeout="500ms",
    )

    assert app.patience_of(settings) == Patience(
        deadline=timedelta(minutes=1),
        decision=timedelta(minutes=2),
        answer=timedelta(seconds=3),
        compensation=timedelta(seconds=4),
        completion=timedelta(milliseconds=500),
    )


def test_the_standard_durations_are_the_designs() -> None:
    settings = Settings(
        app_env="development",
        database_url="postgresql://nobody@127.0.0.1/none",
        kafka_bootstrap_servers="127.0.0.1:9",
    )

    assert app.patience_of(settings) == Patience()


@pytest.mark.postgres
async def test_a_command_makes_the_projection_anew(databases: Databases) -> None:
    async with open_desk(databases) as desk:
        ids = await desk.place_many(3)
        live = [await desk.order(order_id) for order_id in ids]
        async with desk.database.transaction() as tx:
            await tx.execute("DELETE FROM orders")

        code, out = await run(databases, "rebuild")

        assert (code, '"rows":3' in out) == (0, True), out
        assert [await desk.order(order_id) for order_id in ids] == live


def test_a_bad_configuration_is_named_and_nothing_is_rebuilt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("ORDER_DEADLINE", "soon")

    assert commands.rebuild([]) == 2

    problems = capsys.readouterr().err
    assert "DATABASE_URL: is required" in problems
    assert "ORDER_DEADLINE: write a duration" in problems


@pytest.mark.postgres
async def test_operators_see_sagas_begin_and_end(databases: Databases) -> None:
    def seen() -> tuple[float, ...]:
        return (
            progress.STARTED._value.get(),
            progress.COMPENSATIONS.labels("cancelled_by_staff")._value.get(),
            progress.FINISHED.labels("cancelled")._value.get(),
        )

    before = seen()
    async with open_desk(databases) as desk:
        first, _ = await desk.place_many(2)
        await desk.cancel(first)
        await desk.hear(
            StockReleased(order_id=first, closing=True), PaymentVoided(order_id=first, closing=True)
        )

    after = seen()
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1, 1]


@pytest.mark.postgres
async def test_a_key_that_is_none_is_one_message_and_no_trace(databases: Databases) -> None:
    code, out = await run(databases, "api", JWT_VERIFY_KEYS="no key")

    assert (code, "JWT_VERIFY_KEYS" in out, "Traceback" in out) == (2, True, False), out


@pytest.mark.postgres
async def test_the_first_admin_comes_from_a_command(databases: Databases) -> None:
    code, out = await run(databases, "admin", "Root@example.com", typed="a long password\n")

    async with open_desk(databases) as desk, desk.database.transaction() as tx:
        found = await tx.fetchrow("SELECT email, roles, active FROM customers")
    assert code == 0, out
    assert found is not None
    assert tuple(found) == ("root@example.com", ["admin"], True)
    assert "password" not in out
    assert "@" not in out


@pytest.mark.postgres
async def test_an_admin_who_is_shut_out_returns_by_the_same_command(databases: Databases) -> None:
    await run(databases, "admin", "root@example.com", typed="a long password\n")
    async with open_desk(databases) as desk:
        async with desk.database.transaction() as tx:
            before = await tx.fetchval(
                "UPDATE customers SET active = false, roles = '{staff}' RETURNING password_hash"
            )

        code, out = await run(databases, "admin", "root@example.com", typed="quite another one\n")

        async with desk.database.transaction() as tx:
            found = await tx.fetchrow("SELECT roles, active, password_hash FROM customers")
    assert code == 0, out
    assert found is not None
    assert (found["roles"], found["active"]) == (["admin", "staff"], True)
    assert found["password_hash"] != before


@pytest.mark.parametrize(
    ("email", "typed"),
    [("root@example.com", "short"), ("root@example.com", ""), ("no address", "a long password")],
    ids=["a short password", "no password", "no address"],
)
@pytest.mark.postgres
async def test_no_admin_is_made_of_what_is_no_account(
    databases: Databases, email: str, typed: str
) -> None:
    code, out = await run(databases, "admin", email, typed=typed)

    assert (code, "Traceback" in out) == (2, False), out
    assert not typed or typed not in out


@pytest.mark.postgres
async def test_an_order_is_placed_without_the_framework_looking_for_its_route(shop: Shop) -> None:
    await shop.sell(("TEA", 250))
    shop.app.router.routes.clear()

    placed = await shop.place(shop.caller(), ("TEA", 1))
    listed = await shop.http.get("/products")

    assert (placed.status_code, listed.status_code) == (202, 404)
