"""The composition root: settings in, running parts out."""

from functools import partial
from pathlib import Path

from common import ops
from common.auth import TokenVerifier
from common.consumer import Consumer
from common.database import Database
from common.due import SweepLoop
from common.health import Health
from common.http import create_app
from common.process import Program, Service
from common.relay import Relay

from inventory_service import handlers
from inventory_service.api import ROUTERS, attach
from inventory_service.api.products import PROBLEMS
from inventory_service.consumers import SUBSCRIPTION
from inventory_service.settings import Settings

NAME = "inventory-service"


def build(settings: Settings) -> Service:
    """Build every part of the service; nothing runs yet."""
    database = Database(settings, name=NAME)
    health = Health()
    api = create_app(
        title="Pedido inventory",
        service=NAME,
        settings=settings,
        verifier=TokenVerifier.from_jwks(settings),
        health=health,
        routers=ROUTERS,
        problems=PROBLEMS,
    )
    attach(api, database)
    consumer = Consumer(SUBSCRIPTION, database=database, kafka=settings)
    ops.mount(api, consumer, database, settings)
    overdue = partial(handlers.watch_overdue, database)
    tombstones = partial(handlers.repeat_tombstones, database)
    return Service(
        name=NAME,
        settings=settings,
        database=database,
        health=health,
        api=api,
        consumer=consumer,
        relay=Relay(database, settings),
        loops=[
            SweepLoop("overdue", database, overdue, settings.overdue_poll),
            SweepLoop("tombstones", database, tombstones, settings.tombstone_poll),
        ],
    )


PROGRAM = Program(NAME, Settings, build, Path(__file__).parents[2])
