"""Everything that can be measured, in the order of the table."""

import asyncio

from benchmarks import idle, latency, listeners, overload, scaling, storm, throughput
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
    Measurement(
        (overload.ROW,),
        _twice_too_much,
        lambda size: 20 + 3 * size.seconds + size.orders / 250,
        Size(orders=3000, seconds=15),
        runs=1,
        settings=overload.UNLIMITED,
    ),
    Measurement((idle.ROW,), idle.measure, lambda size: 20 + size.seconds, Size(seconds=20)),
    Measurement((storm.ROW,), _login_storm, lambda size: 30 + 2 * size.seconds, runs=1),
    Measurement(
        (scaling.ROW,),
        scaling.measure,
        lambda size: 90 + size.seconds + size.orders / 100,
        runs=1,
    ),
    Measurement((listeners.ROW,), _live_streams, lambda size: 40 + size.seconds, runs=1),
)
BY_ID = {row.id: each for each in MEASUREMENTS for row in each.rows}
USUAL = ("P2", "P3", "P8", "P10a", "P14")
"""The others bend the suite's settings or its load, or take long: each has its own make target."""
