"""P5: how fast a consumer works off a full topic, beside aiokafka and Avro by themselves."""

from aiokafka.admin import AIOKafkaAdminClient

from benchmarks import raw, waiting
from benchmarks.figures import Aim, Row
from benchmarks.measurement import Found, Size
from benchmarks.rig import Rig
from benchmarks.side import Drain, Side, drain, side

SERVICE, GROUP = "inventory", "inventory-service"
BESIDE_RAW = "decided : raw getmany, decode and an empty commit a batch"

ROW = Row(
    "P5",
    "inventory consumes what waits",
    {BESIDE_RAW: Aim(0.5, at_least=True)},
)


async def measure(rig: Rig, size: Size) -> Found:
    """Reserve stock for so many orders; read the same by itself; then pass over as many others."""
    async with side(rig, "p5") as other:
        topic = other.prefix + waiting.TOPIC
        await raw.call("send", rig.stack.bootstrap, topic, size.events)
        alone = await raw.call(
            *("take", rig.stack.bootstrap, topic, size.events, "--database-url"), other.database_url
        )
        decided = await _consume(rig, other, 0, size.events)
        of_others = ("--kind", waiting.COMPLETED)
        await raw.call("send", rig.stack.bootstrap, topic, size.events, *of_others)
        passed = await _consume(rig, other, size.events, size.events)
    return {
        ROW.id: {
            BESIDE_RAW: decided.rate / alone["events/s"],
            "decided events/s": decided.rate,
            "passed over events/s": passed.rate,
            "raw events/s": alone["events/s"],
            **_prices("decided", other, decided),
            **_prices("passed over", other, passed),
            "CPU us an event, raw": alone["CPU us"],
        }
    }


async def _consume(rig: Rig, other: Side, behind: int, count: int) -> Drain:
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.stack.bootstrap)
    await admin.start()
    try:

        async def taken() -> int:
            committed = await admin.list_consumer_group_offsets(other.prefix + GROUP)
            offsets: list[int] = [place.offset for place in committed.values()]
            return sum(max(0, offset) for offset in offsets) - behind

        await other.deployment.start_beside(SERVICE, "consume")
        drained = await drain(rig.stack, taken, count)
        await other.deployment.stop(SERVICE)
    finally:
        await admin.close()
    return drained


def _prices(how: str, other: Side, drained: Drain) -> dict[str, float]:
    names = {"inventory": f"{other.prefix}{SERVICE}-consume", "postgres": "postgres"}
    return {
        f"CPU us an event {how}, {shown}": drained.cpu_us[name] for shown, name in names.items()
    }
