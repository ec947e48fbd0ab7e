"""Replay jobs over real parked messages: what each puts back, and when it ends."""

from __future__ import annotations

import asyncio

import pytest
import till
from common import replay
from ops_desk import Admin, Desk, counted, fill, letters, order, refuse_some, states

from tests.support.waiting import eventually

pytestmark = pytest.mark.postgres


async def drive(desk: Desk, admin: Admin) -> None:
    """Work jobs off without waiting for their pace."""
    while await admin.fetchval("SELECT count(*) FROM replay_jobs WHERE state = 'RUNNING'"):
        await admin.execute("UPDATE replay_jobs SET next_at = now()")
        await replay.step(desk.database)


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


async def test_equal_requests_at_once_make_one_job(desk: Desk, admin: Admin) -> None:
    await fill(desk, [order("f")])
    key, body = {"Idempotency-Key": "once"}, {"filter": {"state": "dead"}}

    answers = await asyncio.gather(
        *(desk.ask("POST", "/replay-jobs", json=body, headers=key) for _ in range(10))
    )

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 9
    assert await admin.fetchval("SELECT count(*) FROM replay_jobs") == 1


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
