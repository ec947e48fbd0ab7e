"""The composition root: settings in, running parts out."""

from hashlib import sha256
from pathlib import Path
from secrets import token_bytes

from common import ops
from common.auth import TokenIssuer
from common.consumer import Consumer
from common.database import Database
from common.health import Health
from common.http import create_app
from common.limits import Policy
from common.process import Program, Service
from common.relay import Relay

from order_service import api, consumers, deadlines
from order_service.accounts import Passwords, Sessions
from order_service.api.throttle import Throttle
from order_service.domain import Caps, Patience
from order_service.intake import Bounds, Intake
from order_service.settings import Settings
from order_service.stream import Feed, Limits

NAME = "order-service"


def build(settings: Settings) -> Service:
    """Build every part of the service; nothing runs yet."""
    database = Database(settings, name=NAME)
    patience = patience_of(settings)
    issuer = TokenIssuer(settings)
    health = Health()
    application = create_app(
        title="Pedido orders",
        service=NAME,
        settings=settings,
        verifier=issuer.verifier(),
        health=health,
        routers=api.ROUTERS,
        problems=api.PROBLEMS,
    )
    consumer = Consumer(consumers.subscription(patience), database=database, kafka=settings)
    ops.mount(application, consumer, database, settings)
    feed = Feed(database, patience=patience, limits=_limits(settings))
    api.attach(application, _parts(settings, database, issuer, patience, feed))
    return Service(
        name=NAME,
        settings=settings,
        database=database,
        health=health,
        api=application,
        consumer=consumer,
        relay=Relay(database, settings),
        api_loops=[feed],
        loops=deadlines.loops(database, patience, poll=settings.timers_poll),
    )


def patience_of(settings: Settings) -> Patience:
    """Take the saga's durations from the settings."""
    return Patience(
        deadline=settings.order_deadline,
        decision=settings.decision_deadline,
        answer=settings.closing_answer_timeout,
        compensation=settings.compensation_timeout,
        completion=settings.completion_timeout,
    )


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        capacity=settings.intake_capacity,
        delay=settings.intake_delay,
        wait=settings.intake_wait,
        backlog_rows=settings.outbox_max_rows,
        backlog_age=settings.outbox_max_age,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        listeners=settings.listeners_max,
        per_caller=settings.listeners_per_caller,
        life=settings.stream_life,
        heartbeat=settings.stream_heartbeat,
    )


def _parts(
    settings: Settings, database: Database, issuer: TokenIssuer, patience: Patience, feed: Feed
) -> api.Parts:
    # Every instance has it, and it can't be guessed from what is signed with this; rather not the
    # signing key, whose rotation would have clients that ask again taken for thieves.
    key = settings.cursor_key or settings.jwt_private_key
    secret = sha256(key.get_secret_value().encode() if key else token_bytes(32)).digest()
    return api.Parts(
        database=database,
        intake=Intake(
            database,
            patience=patience,
            caps=Caps(orders=settings.open_orders_max, pieces=settings.open_pieces_max),
            bounds=_bounds(settings),
        ),
        feed=feed,
        passwords=Passwords(),
        sessions=Sessions(secret=secret, life=settings.jwt_refresh_expires_in),
        throttle=Throttle(
            secret,
            by_account=Policy("login-account", settings.login_limit_account),
            by_address=Policy("login-address", settings.login_limit_address),
            registering=Policy("register-address", settings.login_limit_address),
        ),
        issuer=issuer,
        patience=patience,
        prefix=settings.api_prefix,
        access_token_life=settings.jwt_expires_in,
    )


PROGRAM = Program(NAME, Settings, build, Path(__file__).parents[3])
