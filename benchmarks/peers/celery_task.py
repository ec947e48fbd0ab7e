"""Celery on Valkey: one task an order, acknowledged late; every step may be repeated.

Valkey keeps nothing on disk here, so an order is durable as its row, and what was lost on the way
is found again by a periodic task.
`python celery_task.py beat | work | submit …`
"""

import asyncio
import os
import smtplib
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import outside
import shop
import urllib3
from celery import Celery
from outside import Declined
from psycopg_pool import ConnectionPool
from shop import Order, for_psycopg

POOL = os.environ.get("PEER_VARIANT", "prefork")
PLACE, LOCK, TAKE = map(for_psycopg, (shop.PLACE, shop.LOCK, shop.TAKE))
PAID, COMPLETE = map(for_psycopg, (shop.PAID, shop.COMPLETE))
RELEASE, REJECT = map(for_psycopg, (shop.RELEASE, shop.REJECT))
LOST = """SELECT order_id, email, skus, quantities, amount FROM orders
    WHERE status = 'PENDING' AND placed_at < now() - interval '60 seconds'"""

app = Celery("celery_task", broker=os.environ.get("REDIS_URL"))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue=os.environ.get("TOPIC_PREFIX", "celery"),
    worker_prefetch_multiplier=4,
    broker_transport_options={"visibility_timeout": 120},
    broker_connection_retry_on_startup=True,
    beat_schedule={"sweep": {"task": "sweep", "schedule": 30}},
)
local = threading.local()


@cache
def pool() -> ConnectionPool:
    """Open connections in the process that uses them, after the fork."""
    size = 1 if POOL == "prefork" else min(shop.CONCURRENCY, 20)
    return ConnectionPool(shop.DATABASE_URL, min_size=1, max_size=size, open=True)


@cache
def http() -> urllib3.PoolManager:
    return urllib3.PoolManager(maxsize=shop.CONCURRENCY, timeout=outside.SECONDS, retries=False)


def post(order: Order, operation: str, path: str, form: str) -> dict[str, Any]:
    """Call the provider; raises Declined, or anything else to be tried again."""
    url, head = f"{outside.GATEWAY}/v1/payment_intents{path}", outside.headers(order, operation)
    answer = http().request("POST", url, body=form, headers=head)
    if answer.status == outside.PAYMENT_REQUIRED:
        raise Declined(order.order_id)
    if answer.status >= 400:  # noqa: PLR2004
        raise OSError(answer.status)
    body: dict[str, Any] = answer.json()
    return body


def charge(order: Order) -> str:
    intent: str = post(order, "authorise", "", outside.authorisation(order))["id"]
    post(order, "capture", f"/{intent}/capture", "")
    return intent


def send(order: Order) -> None:
    """Hand the e-mail over, on the thread's own connection."""
    if not hasattr(local, "smtp"):
        local.smtp = smtplib.SMTP(outside.MAIL.hostname or "", outside.MAIL.port or 25)
    try:
        local.smtp.send_message(outside.letter(order))
    except smtplib.SMTPException:
        del local.smtp
        raise


def reserve(order: Order) -> bool:
    with pool().connection() as db, db.transaction():
        covered = order.covered_by(dict(db.execute(LOCK, order.row).fetchall()))
        db.execute(TAKE if covered else REJECT, order.row)
    return covered


@app.task(name="process_order", autoretry_for=(Exception,), retry_backoff=True, max_retries=10)
def process_order(row: dict[str, Any]) -> None:
    order = Order(**row)
    if not reserve(order):
        return
    try:
        intent = charge(order)
    except Declined:
        with pool().connection() as db:
            db.execute(RELEASE, order.row)
            db.execute(REJECT, order.row)
        return
    with pool().connection() as db:
        db.execute(PAID, order.row | {"intent": intent})
        db.execute(COMPLETE, order.row)
    send(order)


@app.task(name="sweep")
def sweep() -> None:
    """Say again what Valkey may have forgotten; a second run of an order changes nothing."""
    names = Order.__slots__
    with pool().connection() as db:
        for row in db.execute(LOST).fetchall():
            process_order.delay(dict(zip(names, row, strict=True)))


def accept(order: Order) -> None:
    """Store the order, then enqueue it: what a web server does before it answers."""
    with pool().connection() as db:
        db.execute(PLACE, order.row)
    process_order.delay(order.row)


async def submit() -> None:
    await shop.submit(lambda order: asyncio.to_thread(accept, order))


def become(*command: str) -> None:
    """Turn into one of Celery's own programs."""
    celery = Path(sys.executable).with_name("celery")
    options = ["--workdir", str(Path(__file__).parent), "-A", "celery_task"]
    os.execv(celery, ["celery", *options, *command, "-l", "warning"])  # noqa: S606  no shell


if __name__ == "__main__":
    match sys.argv[1]:
        case "work":
            kind = ["-P", POOL, "-c", str(shop.CONCURRENCY)]
            become("worker", *kind, "--without-gossip", "--without-mingle")
        case "beat":
            become("beat", "--schedule", f"{os.environ['PEER_STATE']}-beat")
        case "submit":
            POOL = "threads"
            asyncio.run(submit())
