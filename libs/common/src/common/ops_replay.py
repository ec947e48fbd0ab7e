"""Replay jobs over HTTP: foretold, made, watched, cancelled."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from common import audit, idempotency, replay
from common.database import Transaction
from common.errors import Refusal
from common.http import Router
from common.idempotency import IdempotencyKey
from common.message import uuid7
from common.openapi import refuses
from common.ops_parts import Operator, PartsOf, record
from common.ops_shapes import Change, DeadLetter, JobBody, JobPlan, MaybeNoted, ReplayJob
from common.paging import Page, PageQuery, PagesOf
from common.repair import Moved
from common.replay import NewJob

router = Router(prefix="/replay-jobs", tags=["operations"])


@router.get("")
async def list_replay_jobs(
    query: Annotated[PageQuery, Query()], _operator: Operator, parts: PartsOf, pages: PagesOf
) -> Page[ReplayJob]:
    """List jobs and how far they are, newest first."""
    last = pages.begin("replay-jobs", query)
    before = UUID(last[0]) if last else None
    async with parts.database.transaction() as tx:
        rows = await replay.list_jobs(tx, before_id=before, limit=query.limit + 1)
    shown, cursor = pages.cut("replay-jobs", query, rows, lambda row: [str(row["job_id"])])
    return Page(data=[ReplayJob.of(row) for row in shown], next_cursor=cursor)


@router.post("/plan")
async def plan_replay_job(body: JobBody, _operator: Operator, parts: PartsOf) -> JobPlan:
    """Tell what a job of this body would do, and do nothing."""
    async with parts.database.transaction() as tx:
        found = await replay.plan(tx, body.filter.wanted)
    return JobPlan(
        matched=found.matched,
        left_out=found.left_out,
        by_state=dict(found.by_state),
        by_type=dict(found.by_type),
        by_error_class=dict(found.by_error_class),
        sample=[DeadLetter.of(row) for row in found.sample],
    )


@router.post("", status_code=202, response_model=ReplayJob)
async def create_replay_job(
    body: JobBody, key: IdempotencyKey, operator: Operator, parts: PartsOf
) -> Response:
    """Put the dead letters of a filter back for retry, at a measured pace, in their keys' order."""
    async with parts.database.transaction() as tx:
        known = await _answered(tx, operator.id, key, body)
        if known is not None:
            return known
        found = await replay.plan(tx, body.filter.wanted)
        shown = ReplayJob(
            job_id=uuid7(),
            state="RUNNING",
            filter=replay.dumped(body.filter.wanted),
            rate=body.rate,
            max=body.max,
            note=body.note,
            created_by=operator.id,
            created_at=tx.now,
            matched=found.matched,
        )
        answer = shown.model_dump_json().encode()
        job = NewJob(
            job_id=shown.job_id,
            created_by=operator.id,
            idempotency_key=key,
            fingerprint=idempotency.fingerprint(body),
            answer=answer,
            wanted=body.filter.wanted,
            rate=body.rate,
            most=body.max,
            note=body.note,
            matched=found.matched,
        )
        if not await replay.add_job(tx, job):
            # The twin that held the key has committed its job since.
            known = await _answered(tx, operator.id, key, body)
            if known is None:
                raise idempotency.in_flight()
            return known
        await audit.write(
            tx,
            operator.id,
            "replay-job.create",
            target=str(job.job_id),
            note=job.note,
            before={},
            after={"matched": job.matched},
        )
    return _accepted(shown.job_id, answer)


async def _answered(tx: Transaction, operator: UUID, key: str, body: JobBody) -> Response | None:
    known = await replay.find_by_key(tx, operator, key)
    if known is None:
        return None
    if known["fingerprint"] != idempotency.fingerprint(body):
        raise idempotency.mismatch()
    response = _accepted(known["job_id"], known["answer"])
    response.headers["Idempotency-Replayed"] = "true"
    return response


def _accepted(job_id: UUID, answer: bytes) -> Response:
    headers = {"Location": f"/ops/v1/replay-jobs/{job_id}"}
    return Response(answer, status_code=202, media_type="application/json", headers=headers)


@router.get("/{job_id:uuid}")
async def get_replay_job(job_id: UUID, _operator: Operator, parts: PartsOf) -> ReplayJob:
    """Show how far a job is."""
    async with parts.database.transaction() as tx:
        return ReplayJob.of(await replay.get_job(tx, job_id))


@router.post("/{job_id}/cancel", responses=refuses(invalid_state=409))
async def cancel_replay_job(
    job_id: UUID, body: MaybeNoted, operator: Operator, parts: PartsOf
) -> Change:
    """End a job where it is: what it has put back stays put back."""
    async with parts.database.transaction() as tx:
        job = await replay.get_job(tx, job_id, lock=True)
        if job["state"] == "DONE":
            raise Refusal("invalid_state", "The job is done: there is nothing to cancel.")
        if job["state"] == "RUNNING":
            await replay.end_job(tx, job_id, "CANCELLED")
        moved = Moved(int(job["state"] == "RUNNING"), {job["state"]: 1}, {"CANCELLED": 1})
        return await record(
            tx, operator, "replay-job.cancel", target=str(job_id), note=body.note, moved=moved
        )
