"""The operator's API over real parked messages: what it shows, and what each act changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
import pytest_asyncio
import till
from common import ops, replay
from common.auth import Principal, TokenIssuer
from common.consumer import Consumer
from common.database import Database
from common.health import Health
from common.http import create_app
from common.message import Outcome, Stale, uuid7
from common.process import check_flood
from common.settings import ApiSettings, JwtIssuerSettings, KafkaSettings

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from common.dead_letter import Record

Admin = asyncpg.Connection

pytestmark = pytest.mark.postgres

NEVER = "NEVER"


def refuse_some(_till: till.Till, event: till.OrderConfirmed) -> Outcome | Stale:
    """Fail for every order but those that end in a letter below 8."""
    if str(event.order_id)[-1] in "89abcdef":
        raise LookupError(NEVER)
    return till.count(_till, event)


def order(last: str) -> UUID:
    return UUID(str(uuid4())[:-1] + last)


@dataclass
class Desk:
    """The API of a till, and an operator at it."""

    http: httpx2.AsyncClient
    issuer: TokenIssuer
    database: Database
    consumer: Consumer[till.Till]
    me: Principal

    async def ask(
        self, method: str, path: str, *, role: str | None = None, **given: Any
    ) -> httpx2.Response:
        caller = self.me if role is None else Principal(uuid7(), frozenset({role} - {"nobody"}))
        headers = {"Idempotency-Key": str(uuid4()), **given.pop("headers", {})}
        if role != "nobody":
            headers["Authorization"] = f"Bearer {self.issuer.issue(caller)}"
        return await self.http.request(method, f"/ops/v1{path}", headers=headers, **given)

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self.ask("POST", path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, **given: Any) -> tuple[int, str]:
        answer = await self.ask(method, path, **given)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer.status_code, answer.json()["code"]

    async def take(self, *records: Record, rule: till.Rule = refuse_some) -> None:
        """Handle records as the consumer would, and fail what fails until it is dead."""
        await till.shell(self.database, rule).handle(records, asyncio.Event())
        await till.sweep(self.database, rule)


@pytest_asyncio.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    settings = ApiSettings(app_env="test", ops_edit=True)
    issuer = TokenIssuer(JwtIssuerSettings(app_env="development"))
    kafka = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:9")
    consumer = Consumer(till.subscription(), database=database, kafka=kafka)
    app = create_app(
        title="till",
        service="till",
        settings=settings,
        verifier=issuer.verifier(),
        health=Health(),
    )
    ops.mount(app, consumer, database, settings)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://till") as http:
        yield Desk(http, issuer, database, consumer, Principal(uuid7(), frozenset({"operator"})))


async def states(admin: Admin) -> dict[str, int]:
    rows = await admin.fetch("SELECT state, count(*) AS n FROM parked GROUP BY 1")
    return {row["state"]: row["n"] for row in rows}


async def counted(admin: Admin) -> dict[UUID, int]:
    return {row["order_id"]: row["n"] for row in await admin.fetch("SELECT * FROM till")}


async def letters(desk: Desk, **query: Any) -> list[Any]:
    found: list[Any] = (await desk.get("/dead-letters", **query))["data"]
    return found


READS = (
    "/outbox",
    "/lag",
    "/consumers",
    "/breakers",
    "/audit",
    "/dead-letters",
    "/dead-letters/1",
    "/parked-keys",
    "/replay-jobs",
    f"/replay-jobs/{uuid4()}",
)
WRITES = (
    ("POST", "/consumers/pause"),
    ("POST", "/consumers/resume"),
    ("POST", "/dead-letters/1/replay"),
    ("POST", "/dead-letters/1/discard"),
    ("POST", "/dead-letters/1/restore"),
    ("PUT", "/dead-letters/1"),
    ("POST", "/parked-keys/k/drain"),
    ("POST", "/parked-keys/k/skip-head"),
    ("POST", "/replay-jobs"),
    ("POST", "/replay-jobs/plan"),
    ("POST", f"/replay-jobs/{uuid4()}/cancel"),
)


@pytest.mark.parametrize(("method", "path"), [*(("GET", path) for path in READS), *WRITES])
async def test_only_an_operator_gets_in(desk: Desk, method: str, path: str) -> None:
    body = {"json": {}} if method != "GET" else {}

    assert await desk.refused(method, path, role="nobody", **body) == (401, "unauthenticated")
    for role in ("customer", "staff", "admin"):
        assert await desk.refused(method, path, role=role, **body) == (403, "forbidden")


async def test_the_matrix_above_has_every_route(desk: Desk) -> None:
    tried = {(m, p.replace("/1", "/{}").replace("/k/", "/{}/")) for m, p in WRITES}
    tried |= {("GET", path.replace("/1", "/{}")) for path in READS}
    routes = {
        (method.upper(), path.removeprefix("/ops/v1"))
        for path, operations in desk.http._transport.app.openapi()["paths"].items()
        if path.startswith("/ops/v1")
        for method in operations
    }

    assert len(routes) == len(tried)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/dead-letters?sort=up", None),
        ("GET", "/dead-letters?limit=0", None),
        ("GET", "/dead-letters?limit=101", None),
        ("GET", "/dead-letters?state=lost", None),
        ("GET", "/dead-letters?from=2026-01-01T00:00:00", None),
        ("GET", "/dead-letters?key=%00", None),
        ("GET", "/dead-letters?key=hex:xx", None),
        ("GET", "/dead-letters?cursor=forged", None),
        ("GET", "/dead-letters/0", None),
        ("GET", f"/dead-letters/{2**63}", None),
        ("GET", "/dead-letters/x", None),
        ("GET", "/audit?principal=me", None),
        ("POST", "/dead-letters/1/discard", {}),
        ("POST", "/dead-letters/1/discard", {"note": ""}),
        ("POST", "/dead-letters/1/discard", {"note": "a\x1b[2J"}),
        ("POST", "/dead-letters/1/discard", {"note": "x" * 501}),
        ("POST", "/dead-letters/1/replay", {"force": True}),
        ("POST", "/parked-keys/%20/drain", {}),
        ("POST", "/parked-keys/hex:zz/drain", {}),
        ("POST", "/parked-keys/k/skip-head", {"note": "why"}),
        ("POST", "/parked-keys/k/skip-head", {"note": "why", "headId": "1"}),
        ("POST", "/consumers/pause", {}),
        ("POST", "/replay-jobs", {}),
        ("POST", "/replay-jobs", {"filter": {}, "rate": 0}),
        ("POST", "/replay-jobs", {"filter": {}, "rate": 1e9}),
        ("POST", "/replay-jobs", {"filter": {}, "max": 0}),
        ("POST", "/replay-jobs", {"filter": {"state": "retry"}}),
        ("POST", "/replay-jobs", {"filter": {"all": True}}),
        ("POST", "/replay-jobs/1/cancel", {}),
        ("PUT", "/dead-letters/1", {"note": "why"}),
        ("PUT", "/dead-letters/1", {"note": "why", "payload": []}),
    ],
)
async def test_bad_input_is_refused(desk: Desk, method: str, path: str, body: Any) -> None:
    given = {} if body is None else {"json": body}

    assert await desk.refused(method, path, **given) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/dead-letters/7", None),
        ("POST", "/dead-letters/7/replay", {}),
        ("POST", "/dead-letters/7/discard", {"note": "why"}),
        ("PUT", "/dead-letters/7", {"note": "why", "payload": {}}),
        ("POST", "/parked-keys/nobody/drain", {}),
        ("POST", "/parked-keys/nobody/skip-head", {"note": "why", "headId": 7}),
        ("GET", f"/replay-jobs/{uuid4()}", None),
        ("POST", f"/replay-jobs/{uuid4()}/cancel", {}),
    ],
)
async def test_what_is_not_there_is_not_found(
    desk: Desk, method: str, path: str, body: Any
) -> None:
    given = {} if body is None else {"json": body}

    assert await desk.refused(method, path, **given) == (404, "not_found")


async def test_a_dead_letter_is_shown_with_its_reason_and_its_content(desk: Desk) -> None:
    failed = order("f")
    await desk.take(till.record(failed), till.record(order("1"), offset=1))

    (letter,) = await letters(desk)
    shown = await desk.get(f"/dead-letters/{letter['id']}")

    assert (
        letter
        | {
            "state": "dead",
            "key": str(failed),
            "type": "OrderConfirmed",
            "errorClass": "builtins.LookupError",
            "attempt": 3,
            "replays": 0,
            "nextAt": None,
            "stateRecord": False,
        }
        == letter
    )
    assert NEVER not in str(shown)
    assert shown["payload"]["form"] == "decoded"
    assert shown["payload"]["value"]["order_id"] == str(failed)
    assert {"name": "ce_type", "value": "OrderConfirmed"} in shown["headers"]


async def test_what_cannot_be_read_is_shown_in_hex_and_escaped(desk: Desk) -> None:
    bad = {b"ce_id": b"\xff\x1b[2J"}
    await desk.take(till.record(order("1"), value=b"\x00\x01", headers=bad, key=b"\x00\xff"))

    (letter,) = await letters(desk)
    shown = await desk.get(f"/dead-letters/{letter['id']}")

    assert (letter["state"], letter["key"], letter["eventId"]) == ("skipped", "hex:00ff", None)
    assert shown["payload"] | {"form": "hex", "size": 2, "prefix": "0001"} == shown["payload"]
    assert all(header["value"].isascii() for header in shown["headers"])


async def test_letters_are_filtered_grouped_and_paged(desk: Desk) -> None:
    failed = [order("f") for _ in range(3)]
    await desk.take(*(till.record(each, offset=n) for n, each in enumerate(failed)))
    await desk.take(till.record(order("1"), offset=9, value=b"junk"))

    first = await desk.get("/dead-letters", limit=3)
    rest = await desk.get("/dead-letters", limit=3, cursor=first["nextCursor"])
    by_class = (await desk.get("/dead-letters", groupBy="errorClass"))["groups"]
    by_key = (await desk.get("/dead-letters", groupBy="key", limit=2))["groups"]

    assert [len(first["data"]), len(rest["data"]), rest["nextCursor"]] == [3, 1, None]
    assert [(g["value"], g["count"]) for g in by_class] == [
        ("builtins.LookupError", 3),
        ("common.errors.Poison", 1),
    ]
    assert len(by_key) == 2
    assert len(await letters(desk, state="skipped")) == 1
    assert len(await letters(desk, key=str(failed[0]), type="OrderConfirmed")) == 1
    assert await letters(desk, errorClass="no.such") == []
    assert await letters(desk, to="2026-01-01T00:00:00Z") == []


async def test_replaying_twice_has_its_effect_once(desk: Desk, admin: Admin) -> None:
    failed = order("f")
    await desk.take(till.record(failed))
    (letter,) = await letters(desk)

    first = await desk.post(f"/dead-letters/{letter['id']}/replay", note="mended")
    second = await desk.post(f"/dead-letters/{letter['id']}/replay")
    await till.sweep(desk.database)
    await till.sweep(desk.database)

    assert (first["changed"], first["before"], first["after"]) == (1, {"dead": 1}, {"retry": 1})
    assert (second["changed"], second["before"]) == (0, {"retry": 1})
    assert await counted(admin) == {failed: 1}
    gone = await desk.refused("POST", f"/dead-letters/{letter['id']}/replay", json={})
    assert gone == (404, "not_found")


async def test_a_discarded_one_lets_its_key_go_on_and_can_be_restored(
    desk: Desk, admin: Admin
) -> None:
    failed = order("f")
    await desk.take(till.record(failed), till.record(failed, offset=1))
    head = min(await letters(desk), key=lambda each: each["id"])

    await desk.post(f"/dead-letters/{head['id']}/discard", note="sold by telephone")
    await till.sweep(desk.database)
    assert await counted(admin) == {failed: 1}
    path = f"/dead-letters/{head['id']}"
    assert await desk.refused("POST", f"{path}/replay", json={}) == (409, "invalid_state")
    await desk.post(f"{path}/restore")
    await desk.post(f"{path}/replay")
    await till.sweep(desk.database)

    assert await counted(admin) == {failed: 2}
    assert await states(admin) == {}


async def test_a_key_waits_in_order_and_is_drained_in_order(desk: Desk, admin: Admin) -> None:
    failed, well = order("f"), order("1")
    ids = [uuid7() for _ in range(3)]
    waiting = [till.record(failed, offset=n, event_id=each) for n, each in enumerate(ids)]
    await desk.take(*waiting, till.record(well, offset=9))
    (key,) = (await desk.get("/parked-keys"))["data"]

    change = await desk.post(f"/parked-keys/{key['key']}/drain", note="mended")
    again = await desk.post(f"/parked-keys/{key['key']}/drain")
    await till.sweep(desk.database)

    assert (key["key"], key["waiting"], key["head"]["eventId"]) == (str(failed), 3, str(ids[0]))
    assert (change["before"], change["after"]) == ({"dead": 1, "retry": 2}, {"retry": 3})
    assert again["changed"] == 0
    rows = await admin.fetch("SELECT event_id FROM till_log WHERE order_id = $1", failed)
    assert [row["event_id"] for row in rows] == ids
    assert await counted(admin) == {failed: 3, well: 1}


async def test_a_head_is_skipped_only_as_long_as_it_is_the_head(desk: Desk, admin: Admin) -> None:
    failed = order("f")
    await desk.take(till.record(failed), till.record(failed, offset=1))
    (key,) = (await desk.get("/parked-keys"))["data"]
    other = max(each["id"] for each in await letters(desk))
    path = f"/parked-keys/{failed}/skip-head"

    wrong = await desk.refused("POST", path, json={"headId": other, "note": "why"})
    change = await desk.post(path, headId=key["head"]["id"], note="sold by hand")
    again = await desk.post(path, headId=key["head"]["id"], note="sold by hand")
    await till.sweep(desk.database)

    assert wrong == (409, "invalid_state")
    assert (change["changed"], change["after"]) == (1, {"retry": 1, "skipped": 1})
    assert again["changed"] == 0
    assert await counted(admin) == {failed: 1}
    assert await states(admin) == {"skipped": 1}


async def drive(desk: Desk, admin: Admin) -> None:
    """Work jobs off without waiting for their pace."""
    while await admin.fetchval("SELECT count(*) FROM replay_jobs WHERE state = 'RUNNING'"):
        await admin.execute("UPDATE replay_jobs SET next_at = now()")
        await replay.step(desk.database)


async def fill(desk: Desk, orders: Sequence[UUID]) -> None:
    await desk.take(*(till.record(each, offset=n) for n, each in enumerate(orders)))


async def test_a_job_replays_what_its_filter_finds_and_nothing_else(
    desk: Desk, admin: Admin
) -> None:
    failed = [order("f") for _ in range(5)]
    await fill(desk, failed)
    await desk.take(till.record(order("1"), offset=9, value=b"junk"))

    await desk.take(till.record(failed[0], offset=10))  # it waits behind, and is not replayed

    plan = await desk.post("/replay-jobs/plan", filter={"key": str(failed[0])})
    assert [each["state"] for each in plan["sample"]] == ["dead"]
    plan = await desk.post("/replay-jobs/plan", filter={"errorClass": "builtins.LookupError"})
    assert await states(admin) == {"dead": 5, "retry": 1, "skipped": 1}
    job = await desk.post("/replay-jobs", filter={"state": "dead"}, rate=2)
    await drive(desk, admin)
    done = await desk.get(f"/replay-jobs/{job['jobId']}")
    await till.sweep(desk.database)

    assert (plan["matched"], plan["byType"], len(plan["sample"])) == (5, {"OrderConfirmed": 5}, 5)
    assert (job["state"], job["matched"], job["replayed"]) == ("RUNNING", 5, 0)
    assert (done["state"], done["replayed"], done["leftOut"]) == ("DONE", 5, 0)
    assert await counted(admin) == dict.fromkeys(failed, 1) | {failed[0]: 2}
    assert await states(admin) == {"skipped": 1}


async def test_a_job_keeps_its_pace_and_its_maximum(desk: Desk, admin: Admin) -> None:
    await fill(desk, [order("f") for _ in range(5)])

    await desk.post("/replay-jobs", filter={}, rate=2, max=3)
    await replay.step(desk.database)
    await replay.step(desk.database)  # not due yet
    assert await states(admin) == {"retry": 2, "dead": 3}
    await drive(desk, admin)

    assert await states(admin) == {"retry": 3, "dead": 2}


async def test_what_came_back_too_often_is_left_out(desk: Desk, admin: Admin) -> None:
    await fill(desk, [order("f")])
    for _ in range(replay.LOOP_CAP):
        await desk.post("/replay-jobs", filter={})
        await drive(desk, admin)
        await till.sweep(desk.database, refuse_some)
    (letter,) = await letters(desk)

    job = await desk.post("/replay-jobs", filter={})
    await drive(desk, admin)
    done = await desk.get(f"/replay-jobs/{job['jobId']}")

    assert letter["replays"] == replay.LOOP_CAP
    assert (done["replayed"], done["leftOut"], done["leftOutIds"]) == (0, 1, [letter["id"]])


async def test_two_jobs_at_once_replay_each_message_once(desk: Desk, admin: Admin) -> None:
    failed = [order("f") for _ in range(20)]
    await fill(desk, failed)

    for _ in range(2):
        await desk.post("/replay-jobs", filter={}, rate=3)
    await drive(desk, admin)
    await till.sweep(desk.database)

    assert await counted(admin) == dict.fromkeys(failed, 1)
    assert await admin.fetchval("SELECT sum(replayed) FROM replay_jobs") == len(failed)


async def test_a_cancelled_job_stops_where_it_is(desk: Desk, admin: Admin) -> None:
    await fill(desk, [order("f") for _ in range(4)])
    job = await desk.post("/replay-jobs", filter={}, rate=1)
    await replay.step(desk.database)

    first = await desk.post(f"/replay-jobs/{job['jobId']}/cancel", note="wrong filter")
    second = await desk.post(f"/replay-jobs/{job['jobId']}/cancel")
    await drive(desk, admin)

    assert (first["changed"], second["changed"]) == (1, 0)
    assert await states(admin) == {"retry": 1, "dead": 3}
    finished = await desk.post("/replay-jobs", filter={})
    await drive(desk, admin)
    path = f"/replay-jobs/{finished['jobId']}/cancel"
    assert await desk.refused("POST", path, json={}) == (409, "invalid_state")


async def test_a_jobs_key_stands_for_one_job(desk: Desk, admin: Admin) -> None:
    key = {"Idempotency-Key": "once"}
    body = {"filter": {"state": "dead"}}

    first = await desk.ask("POST", "/replay-jobs", json=body, headers=key)
    second = await desk.ask("POST", "/replay-jobs", json=body, headers=key)

    assert first.status_code == second.status_code == 202
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"
    assert first.headers["location"] == second.headers["location"]
    assert await admin.fetchval("SELECT count(*) FROM replay_jobs") == 1
    other = {"json": {"filter": {}}, "headers": key}
    assert await desk.refused("POST", "/replay-jobs", **other) == (422, "idempotency_mismatch")
    none = {"json": body, "headers": {"Idempotency-Key": ""}}
    refusal = await desk.refused("POST", "/replay-jobs", **none)
    assert refusal == (400, "idempotency_key_required")


async def test_an_edited_message_is_handled_in_its_place_under_a_new_id(
    desk: Desk, admin: Admin
) -> None:
    failed, wanted, first = order("f"), order("1"), uuid7()
    await desk.take(till.record(failed, event_id=first))
    (letter,) = await letters(desk)
    path = f"/dead-letters/{letter['id']}"

    answer = await desk.ask(
        "PUT", path, json={"note": "typed wrong", "payload": {"customer_id": str(wanted)}}
    )
    shown = await desk.get(path)
    await till.sweep(desk.database)

    assert answer.status_code == 200, answer.text
    new = answer.json()["eventId"]
    assert new not in {str(first), None}
    headers = {each["name"]: each["value"] for each in shown["headers"]}
    assert (headers["ce_id"], headers["ce_causationid"]) == (new, str(first))
    assert shown["payload"]["value"]["customer_id"] == str(wanted)
    assert await counted(admin) == {failed: 1}
    taken = await admin.fetch("SELECT event_id, origin, seq FROM inbox ORDER BY origin")
    assert [(str(row["event_id"]), row["origin"]) for row in taken] == [
        (new, "edited"),
        (str(first), "topic"),
    ]
    assert len({row["seq"] for row in taken}) == 1


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"colour": "red"}, "has no colour"),
        ({"customer_id": 7}, "OrderConfirmed"),
        ({"customer_id": "me"}, "OrderConfirmed"),
        ({"order_id": str(uuid4())}, "key"),
    ],
)
async def test_an_edit_that_nobody_could_read_is_refused(
    desk: Desk, admin: Admin, members: dict[str, Any], why: str
) -> None:
    await desk.take(till.record(order("f")))
    (letter,) = await letters(desk)

    answer = await desk.ask(
        "PUT", f"/dead-letters/{letter['id']}", json={"note": "why", "payload": members}
    )

    assert answer.status_code == 422
    assert why in answer.json()["errors"][0]["detail"]
    assert await states(admin) == {"dead": 1}


async def test_a_paused_consumer_stays_ready_and_a_flooded_one_does_not(
    desk: Desk, admin: Admin
) -> None:
    change = await desk.post("/consumers/pause", note="new warehouse")
    again = await desk.post("/consumers/pause", note="me too")
    (state,) = (await desk.get("/consumers"))["data"]
    await desk.consumer.look_for_halt()
    await check_flood(desk.consumer)

    assert (change["changed"], again["changed"]) == (1, 0)
    assert state["state"] == "PAUSED"
    assert (state["reason"], state["pausedBy"]) == ("new warehouse", str(desk.me.id))
    assert desk.consumer.halted == "new warehouse"
    await desk.post("/consumers/resume")
    await desk.consumer.look_for_halt()
    assert desk.consumer.halted is None
    await admin.execute("INSERT INTO consumer_halts VALUES ('inventory-service', 'a flood')")
    (flooded,) = (await desk.get("/consumers"))["data"]
    assert (flooded["state"], flooded["reason"]) == ("FLOODED", "a flood")


async def test_every_act_leaves_a_row_that_says_who_and_why(desk: Desk, admin: Admin) -> None:
    await desk.take(till.record(order("f")))
    (letter,) = await letters(desk)
    await desk.post(f"/dead-letters/{letter['id']}/discard", note="sold by hand")
    change = await desk.post(f"/dead-letters/{letter['id']}/restore")

    acts = (await desk.get("/audit"))["data"]
    narrowed = await desk.get("/audit", action="dead-letter.discard", principal=str(desk.me.id))

    assert [act["action"] for act in acts] == ["dead-letter.restore", "dead-letter.discard"]
    assert acts[0]["id"] == change["auditId"]
    (act,) = narrowed["data"]
    assert (
        act
        | {
            "principal": str(desk.me.id),
            "target": str(letter["id"]),
            "note": "sold by hand",
            "before": {"dead": 1},
            "after": {"discarded": 1},
        }
        == act
    )
    role = await admin.fetchval(
        "SELECT has_table_privilege('inventory_app', 'ops_audit', 'UPDATE, DELETE')"
    )
    assert role is False


async def test_the_outbox_tells_what_has_not_left_and_what_is_refused(
    desk: Desk, admin: Admin
) -> None:
    await desk.take(till.record(order("1")), till.record(order("2"), offset=1))
    await admin.execute("UPDATE outbox SET refused = 'too large' WHERE id = 1")

    seen = await desk.get("/outbox")

    assert (seen["depth"], seen["refusedCount"]) == (2, 1)
    assert seen["oldestAgeSeconds"] >= 0
    assert (
        seen["refused"][0] | {"type": "StockCommitted", "reason": "too large"}
        == (seen["refused"][0])
    )


async def test_lag_without_a_broker_is_said_and_not_waited_for(desk: Desk) -> None:
    assert await desk.refused("GET", "/lag") == (503, "not_ready")


async def test_the_loop_ends_jobs_by_itself(desk: Desk, admin: Admin) -> None:
    stop = asyncio.Event()
    loop = asyncio.create_task(replay.loop(desk.database).run(stop))
    await fill(desk, [order("f")])
    await desk.post("/replay-jobs", filter={}, rate=1000)

    await eventually(
        lambda: admin.fetchval("SELECT true FROM replay_jobs WHERE state = 'DONE'"),
        3.0,
    )
    stop.set()
    await loop
