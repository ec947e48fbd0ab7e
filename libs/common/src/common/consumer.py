"""Kafka → the shell → offsets: the only module that knows FastStream.

One subscriber for all of a service's topics, one poll = one transaction; the offsets follow it.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from common import halts, parked, telemetry, unpacking
from common.broker import client_options
from common.database import Database
from common.dead_letter import Record
from common.deciding import Subscription
from common.due import pause, wait_either
from common.errors import Contended, Flood, Unavailable
from common.message import State
from common.offsets import Offsets
from common.parked import Patience
from common.partitions import Partitions
from common.settings import KafkaSettings
from common.shell import Shell

S = TypeVar("S", bound=State)

_BATCH_TIMEOUT_MS = 10
"""FastStream sleeps it again after an empty poll: longer would slow each hop at rest."""
_POLL_MS = 1000
"""What a poll really waits, unless records come: an empty one costs as much as a full one."""
_AT_REST_MS = 500
"""How long a fetch waits for its first record."""
_WORTHWHILE_BYTES = 64 * 1024, 512 * 1024
"""For so much a fetch waits no longer: a batch of a hundred records and more; of a thousand, where
nobody waits for them."""
_PATIENCE, _MOST_PATIENCE = 3.0, 0.025
"""While a batch is handled, the broker gathers the next for so many times as long as the last one
took, at most so many seconds. A fetch costs both sides the same for one record as for a hundred;
where the machine is busy, batches take longer, so they grow, and each record costs less."""
_UNHURRIED = 0.2
"""Seconds instead, where nobody waits."""
_LOOK = timedelta(seconds=5)
"""Between looks at lag, halts and the watchdog."""
_A_DAY_MS = 86_400_000
"""A batch waits as long as the database is away; heartbeats, not polls, show that we live."""

_Polled: TypeAlias = dict[TopicPartition, list[ConsumerRecord[Any, Any]]]

_log = telemetry.get_logger()


class _Records(AIOKafkaConsumer):
    """aiokafka's consumer, that reads no partition which its owner withholds."""

    owner: Consumer[Any]
    _gathering_ms = 0

    async def getmany(
        self, *_: TopicPartition, timeout_ms: int = 0, max_records: int = 1
    ) -> _Polled:
        """Poll; FastStream, which has no logger, would be silent about what can't be polled."""
        partitions, gathering = self.owner.partitions, self._gathering_ms
        try:
            await partitions.admit(self)
            polled: _Polled = await super().getmany(
                timeout_ms=max(timeout_ms, 2 * gathering if gathering else _POLL_MS),
                max_records=max_records,
            )
        except (Unavailable, Contended) as error:
            _log.warning("partitions wait for the database", reason=str(error))
            await asyncio.sleep(_POLL_MS / 1000)
            return {}
        except KafkaError as error:
            _log.warning("can't poll", reason=repr(error))
            raise
        # Before the next await: taking these records has the fetcher ask for the next.
        self.gather(self.owner.gather_for if polled else 0.0)
        for partition in polled.keys() - partitions.readable:  # a rebalance came in between
            self.seek(partition, polled.pop(partition)[0].offset)
        for partition, records in polled.items():
            if isinstance(records[-1], unpacking.Unreadable):
                partitions.set_aside(self, partition, records.pop())
        return polled

    def gather(self, seconds: float) -> None:
        """Have the next fetch gather records for so long; for no time, end with the first."""
        self._gathering_ms = math.ceil(seconds * 1000)
        fetcher: Any = self._fetcher  # its only place for what may change from fetch to fetch
        worthwhile = _WORTHWHILE_BYTES[self.owner.unhurried]
        fetcher._fetch_min_bytes = worthwhile if self._gathering_ms else 1  # noqa: SLF001
        fetcher._fetch_max_wait_ms = self._gathering_ms or _AT_REST_MS  # noqa: SLF001


class Consumer(Generic[S]):
    """Feeds a subscription from Kafka until told to stop."""

    def __init__(
        self, subscription: Subscription[S], *, database: Database, kafka: KafkaSettings
    ) -> None:
        self.group = subscription.group
        self.unhurried = subscription.unhurried
        self.shell = Shell(subscription, database=database)
        self.patience = Patience(
            kafka.retry_first_delay,
            kafka.retry_max_delay,
            kafka.retry_attempts,
            then="skipped" if kafka.park_policy == "skip" else "dead",
        )
        self.halted: str | None = None
        self.flooded = False
        """Halted by its own failures: a paused one is as an operator wants it, and ready."""
        self._noting = False
        self._database = database
        self.kafka = kafka
        self._stop = asyncio.Event()
        self._hand = asyncio.Lock()
        self._measured: set[TopicPartition] = set()
        self._offsets = Offsets(kafka.topic_prefix)
        self.partitions = Partitions(
            self._offsets, database=database, topic_prefix=kafka.topic_prefix
        )
        self.gather_for = 0.0
        """Seconds for which the broker gathers the next batch."""
        self._last_record = self._behind_since = time.monotonic()
        self._client: _Records | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until told to stop; the batch in hand is finished and its offsets committed."""
        broker = await self._start(stop)
        if broker is None:
            return
        try:
            async with asyncio.TaskGroup() as beside:
                beside.create_task(self._offsets.follow(stop))
                while not stop.is_set():
                    await wait_either(stop, self._database, halts.BELL, _LOOK)
                    await self._look()
        finally:
            self._stop.set()
            async with self._hand:
                await self._offsets.commit()
                await broker.stop()

    async def _start(self, stop: asyncio.Event) -> KafkaBroker | None:
        while not stop.is_set():
            broker = self._broker()
            try:
                await self.look_for_halt()
                await self._connect(broker)
                await broker.start()
            except (KafkaError, Unavailable, Contended, OSError) as error:
                _log.warning("consumer waits to start", reason=type(error).__name__)
                await broker.stop()
                await pause(stop, 1.0)
            else:
                return broker
        return None

    async def _connect(self, broker: KafkaBroker) -> None:
        """Have FastStream make its consumers of our class: connecting sets how it makes them."""
        await broker.connect()
        config = broker.config.broker_config
        if not isinstance(config.builder, partial):
            message = "this FastStream builds its consumers in another way than 0.7.8"
            raise TypeError(message)
        config.builder = partial(self._build, config.builder)

    def _broker(self) -> KafkaBroker:
        options = client_options(self.kafka)
        broker = KafkaBroker(
            options["bootstrap_servers"],
            security=_security(options),
            consumer_only=True,
            apply_types=False,
            logger=None,
        )
        prefix = self.kafka.topic_prefix
        instance = self.kafka.consumer_instance_id
        subscriber = broker.subscriber(
            *(prefix + topic for topic in self.shell.decider.reader.topics),
            group_id=prefix + self.group,
            group_instance_id=instance,
            batch=True,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            batch_timeout_ms=_BATCH_TIMEOUT_MS,
            max_records=self.kafka.consumer_max_records,
            partition_assignment_strategy=(RangePartitionAssignor,),
            listener=self.partitions,
            session_timeout_ms=int(self.kafka.consumer_session_timeout.total_seconds() * 1000),
            max_poll_interval_ms=_A_DAY_MS,
            parser=_untouched_message,
            decoder=_untouched_records,
        )
        subscriber(self._on_batch)
        return broker

    def _build(self, builder: partial[AIOKafkaConsumer], **arguments: Any) -> _Records:
        """Make FastStream's consumer of our class: it has no other place to say so."""
        unpacking.forgive()
        client = _Records(**(builder.keywords | arguments))
        client.owner = self
        self._client = self._offsets.client = client
        return client

    async def _on_batch(self, records: Sequence[ConsumerRecord[Any, Any]]) -> None:
        """Handle one poll. Never raises: FastStream would poll on, past the failed batch."""
        if self._stop.is_set():
            return  # whoever stops us has the hand, and waits until this batch is through
        async with self._hand:
            if self._stop.is_set():
                return
            await self._resumed()
            began = self._last_record = time.monotonic()
            ordered = unpacking.by_time(records)
            batch = [unpacking.record_of(each, self.kafka.topic_prefix) for each in ordered]
            await self._handle(batch)
            self._last_record = time.monotonic()
            self.gather_for = self._patience(self._last_record - began)

    def _patience(self, took: float) -> float:
        return _UNHURRIED if self.unhurried else min(_MOST_PATIENCE, _PATIENCE * took)

    async def _handle(self, batch: Sequence[Record]) -> None:
        began = time.monotonic()
        try:
            if not await self.shell.handle(batch, self._stop):
                return
            self._offsets.note(batch)
        except Flood as flood:
            self._offsets.note(batch)
            await self.halt(str(flood))
        except Exception:  # never expected: the offsets stay, and the process begins anew
            _log.exception("the shell failed, ending the process")
            os._exit(1)
        telemetry.BATCH_SIZE.observe(len(batch))
        telemetry.BATCH_DURATION.observe(time.monotonic() - began)

    async def halt(self, reason: str) -> None:
        """Stop for an operator, in a row: a restart must not run into the same flood."""
        _log.error("consumer halted: it is the deploy, not the data", reason=reason)
        self.halted, self.flooded = reason, True
        self._noting = True
        while self._noting and not self._stop.is_set():
            try:
                await self._note_halt(reason)
            except (Unavailable, Contended):
                await pause(self._stop, 1.0)
            else:
                self._noting = False

    async def _note_halt(self, reason: str) -> None:
        async with self._database.transaction() as tx:
            await halts.add(tx, self.group, reason)

    async def look_for_halt(self) -> None:
        """See whether this consumer is halted, by whichever process, or has been resumed."""
        before = self.halted
        async with self._database.transaction() as tx:
            halt = await halts.find(tx, self.group)
        if self._noting or self.halted is not before:
            return  # halted while we looked: the row may not be there yet
        if self.halted and halt is None:
            _log.info("consumer resumed by an operator")
            self.shell.decider.forget_failures()
            self._database.bell(parked.BELL).ring()
        self.halted = halt.reason if halt else None
        self.flooded = halt is not None and halt.paused_by is None

    async def _resumed(self) -> None:
        while self.halted and not self._stop.is_set():
            await pause(self._stop, 1.0)

    async def _look(self) -> None:
        """See how far behind we are, whether an operator resumed us, and whether we are stuck."""
        now = time.monotonic()
        telemetry.CONSUMER_HALTED.set(self.halted is not None)
        if self._hand.locked() and self._client:
            self._client.gather(0.0)  # a batch may be in hand for hours: no fetch each 25 ms
        try:
            await self.look_for_halt()
            lag = await self._measure_lag()
        except (Unavailable, Contended, KafkaError, OSError) as error:
            _log.warning("can't look at lag or halts", reason=type(error).__name__)
            self._behind_since = now  # who can't ask can't tell silence from an outage
            return
        if self._client:
            self.partitions.try_again(self._client)
        busy = self._hand.locked() or self.halted is not None
        if not lag or busy or self._last_record > self._behind_since:
            self._behind_since = now  # lag of this moment is no sign, however long it was quiet
        elif now - self._behind_since > self.kafka.consumer_watchdog.total_seconds():
            # aiokafka may stick after a broker restart (its #847, #703): begin anew.
            _log.error("records wait and none comes: ending the process", lag=lag)
            os._exit(1)

    async def _measure_lag(self) -> int:
        """Count the records not handled yet, without asking the client where it stands.

        `AIOKafkaConsumer.position()` waits for its fetcher, which may be what is stuck.
        """
        client = self._client
        readable = (client.assignment() & self.partitions.readable) if client else set()
        for lost in self._measured - readable:
            telemetry.CONSUMER_LAG.remove(lost.topic, lost.partition)
        self._measured = readable
        if client is None or not readable:
            return 0
        begins = await client.beginning_offsets(list(readable))
        ends = await client.end_offsets(list(readable))
        total = 0
        for partition, end in ends.items():
            lag = max(0, end - max(self._offsets.next[partition], begins[partition]))
            telemetry.CONSUMER_LAG.labels(partition.topic, partition.partition).set(lag)
            total += lag
        return total


def _security(options: dict[str, Any]) -> BaseSecurity | None:
    protocol = options["security_protocol"]
    if protocol == "PLAINTEXT":
        return None
    context = options.get("ssl_context")
    if not protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=True)
    kinds = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    return kinds[options["sasl_mechanism"]](
        username=options["sasl_plain_username"],
        password=options["sasl_plain_password"],
        ssl_context=context,
        use_ssl=context is not None,
    )


async def _untouched_message(records: tuple[ConsumerRecord[Any, Any], ...]) -> KafkaMessage:
    """Wrap the records as they are.

    FastStream 0.7.8's own parser decodes every header as UTF-8: one bad header drops the batch.
    """
    return KafkaMessage(body=records, raw_message=records, consumer=_NO_CONSUMER)


async def _untouched_records(message: KafkaMessage) -> object:
    return message.body


class _NoConsumer:
    """Stands where FastStream would acknowledge; we commit explicit offsets ourselves."""

    async def commit(self) -> None:
        """Do nothing: FastStream's own commit covers partitions that were not handled."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Do nothing."""


_NO_CONSUMER = _NoConsumer()
