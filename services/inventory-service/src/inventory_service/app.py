"""The composition root: settings in, running parts out."""

from functools import partial
from hashlib import sha256
from pathlib import Path

from common.auth import TokenVerifier
from common.consumer import Consumer
from common.database import Database
from common.due import SweepLoop
from common.health import Health
from common.http import create_app
from common.process import Program, Service
from common.relay import Relay

from inventory_service import handlers
from inventory_service.api import inventory, products
from inventory_service.api.paging import Cursors
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
        routers=[products.router, inventory.router],
        problems=products.PROBLEMS,
    )
    api.state.database = database
    # Every instance knows the database's password, and nobody else does.
    api.state.cursors = Cursors(sha256(settings.database_url.get_secret_value().encode()).digest())
    overdue = partial(handlers.watch_overdue, database)
    return Service(
        name=NAME,
        settings=settings,
        database=database,
        health=health,
        api=api,
        consumer=Consumer(SUBSCRIPTION, database=database, kafka=settings),
        relay=Relay(database, settings),
        loops=[SweepLoop("overdue", database, overdue, settings.overdue_poll)],
    )


PROGRAM = Program(NAME, Settings, build, Path(__file__).parents[2])
