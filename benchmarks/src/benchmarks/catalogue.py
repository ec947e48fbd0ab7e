"""Everything that can be measured, in the order of the table."""

import asyncio

from benchmarks import (
    accepting,
    backlog,
    batches,
    ceilings,
    consuming,
    growth,
    held,
    idle,
    latency,
    listeners,
    overload,
    relaying,
    scaling,
    skew,
    soak,
    storm,
    throughput,
)
from benchmarks.measurement import Found, Measurement, Size
from benchmarks.rig import Rig


async def _twice_too_much(rig: Rig, size: Size) -> Found:
    async with asyncio.timeout(overload.LIMIT):
        return {overload.ROW.id: await overload.measure(rig, size.orders, size.seconds)}


async def _login_storm(rig: Rig, size: Size) -> Found:
    return {storm.ROW.id: await storm.measure(rig, size.seconds)}


async def _live_streams(rig: Rig, size: Size) -> Found:
    return {listeners.ROW.id: await listeners.measure(rig, size.seconds)}


MEASUREMENTS = (
    Measurement(
        (accepting.ROW,),
        accepting.measure,
        lambda size: 35 + size.seconds + size.orders / 150,
        Size(orders=10_000),
    ),
    Measurement(
        (throughput.SPEED, throughput.PRICE, throughput.MEMORY),
        throughput.measure,
        lambda size: 15 + size.orders / 250,
    ),
    Measurement(
        (latency.ROW,),
        latency.measure,
        lambda size: 35 + 2 * size.seconds + size.orders / 250,
        Size(orders=2000, seconds=20),
    ),
    Measurement((relaying.ROW,), relaying.measure, lambda size: 25 + size.events / 6000),
    Measurement((consuming.ROW,), consuming.measure, lambda size: 25 + size.events / 4000),
    Measurement((skew.ROW,), skew.measure, lambda size: 30 + 3 * size.orders / 250),
    Measurement(
        (held.ROW,),
        held.measure,
        lambda size: 60 + size.seconds + 2 * min(60, size.seconds) + size.orders / 100,
        Size(orders=3000, seconds=180),
        settings=overload.UNLIMITED,
    ),
    Measurement(
        (soak.ROW,),
        soak.measure,
        lambda size: 120 + size.seconds + size.orders / 250,
        Size(seconds=1800),
        runs=1,  # its minutes are its spread
        settings=overload.UNLIMITED,
    ),
    Measurement(
        (overload.ROW,),
        _twice_too_much,
        lambda size: 20 + 3 * size.seconds + size.orders / 250,
        Size(orders=3000, seconds=15),
        settings=overload.UNLIMITED,
    ),
    Measurement(
        (backlog.ROW,),
        backlog.measure,
        lambda size: 60 + size.orders / 1000 + size.orders / 200,
        Size(orders=100_000),
        settings=backlog.SETTINGS,
    ),
    Measurement(
        (batches.ROW,),
        batches.measure,
        lambda size: len(size.steps) * (20 + 2 * size.seconds + size.orders / 100),
        Size(orders=2000, seconds=20, steps=(1, 10, 50, 200, 500)),
    ),
    Measurement((idle.ROW,), idle.measure, lambda size: 20 + size.seconds, Size(seconds=20)),
    Measurement(
        (growth.ROW,),
        growth.measure,
        growth.lasts,
        Size(orders=3000, steps=(10_000, 100_000, 1_000_000, 10_000_000)),
    ),
    Measurement((storm.ROW,), _login_storm, lambda size: 30 + 2 * size.seconds),
    Measurement(
        (scaling.ROW,),
        scaling.measure,
        lambda size: 90 + size.seconds + size.orders / 100,
    ),
    Measurement(
        (ceilings.ROW,),
        ceilings.measure,
        lambda size: 25 + 2 * size.seconds + size.orders / 300,
        Size(seconds=10),
    ),
    Measurement((listeners.ROW,), _live_streams, lambda size: 40 + size.seconds),
)
BY_ID = {row.id: each for each in MEASUREMENTS for row in each.rows}
USUAL = ("P2", "P3", "P8", "P10a", "P14")
"""The others bend the suite's settings or its load, or take long: each has its own make target."""
