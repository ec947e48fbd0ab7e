"""The composition root: settings in, running parts out."""

from __future__ import annotations

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

from payment_service import handlers
from payment_service.api import payments, reconciliations, webhooks
from payment_service.api.webhooks import WebhookKeys
from payment_service.charging import Charger, Pace
from payment_service.consumers import SUBSCRIPTION
from payment_service.domain.answers import Patience
from payment_service.gateway.breaker import Breaker, Threshold
from payment_service.gateway.client import Client
from payment_service.gateway.provider import Provider
from payment_service.gateway.records import Records
from payment_service.reconciling import Reconciler
from payment_service.settings import Settings

NAME = "payment-service"


def build(settings: Settings) -> Service:
    """Build every part of the service; nothing runs yet."""
    database = Database(settings, name=NAME)
    breaker = build_breaker(settings)
    health = Health()
    api = create_app(
        title="Pedido payments",
        service=NAME,
        settings=settings,
        verifier=TokenVerifier.from_jwks(settings),
        health=health,
        routers=[payments.router, reconciliations.router, webhooks.router],
        problems=webhooks.PROBLEMS,
        unlimited=webhooks.UNLIMITED,
    )
    api.state.database = database
    api.state.webhook_keys = build_webhook_keys(settings)
    consumer = Consumer(SUBSCRIPTION, database=database, kafka=settings)
    ops.mount(api, consumer, database, settings)
    api.include_router(reconciliations.ops_router, prefix=reconciliations.OPS_PREFIX)
    books = partial(
        handlers.watch_books,
        database,
        every=settings.payment_reconcile_every,
        hold_alarm=settings.payment_hold_alarm,
        keep=settings.payment_records_keep,
    )
    return Service(
        name=NAME,
        settings=settings,
        database=database,
        health=health,
        api=api,
        consumer=consumer,
        relay=Relay(database, settings),
        loops=[
            build_charger(settings, database, breaker),
            build_reconciler(settings, database, breaker),
            SweepLoop("books", database, books, settings.payment_books_poll),
        ],
        breakers=[breaker],
    )


def build_webhook_keys(settings: Settings) -> WebhookKeys:
    """Tell which secrets may have signed a webhook."""
    given = (settings.payment_webhook_secret, settings.payment_webhook_secret_previous)
    secrets = tuple(secret for secret in given if secret is not None)
    return WebhookKeys(secrets, settings.payment_webhook_tolerance)


def build_breaker(settings: Settings) -> Breaker:
    """Build what keeps calls from a provider that fails."""
    threshold = Threshold(
        calls=settings.payment_breaker_calls,
        failed=settings.payment_breaker_failed,
        window=settings.payment_breaker_window,
    )
    return Breaker("payment-gateway", threshold, open_for=settings.payment_breaker_open_for)


def build_client(settings: Settings, breaker: Breaker, connections: int) -> Client:
    """Build a pool of connections to the provider."""
    return Client(
        url=str(settings.payment_gateway_url),
        key=settings.payment_gateway_key.get_secret_value(),
        timeout=settings.payment_gateway_timeout,
        connections=connections,
        breaker=breaker,
    )


def build_reconciler(settings: Settings, database: Database, breaker: Breaker) -> Reconciler:
    """Build the loop that compares the provider's list with ours."""
    return Reconciler(database, Records(build_client(settings, breaker, connections=1)))


def build_charger(settings: Settings, database: Database, breaker: Breaker) -> Charger:
    """Build the loop that talks to the provider."""
    client = build_client(settings, breaker, settings.payment_gateway_connections)
    return Charger(
        database=database,
        provider=Provider(client, settings.payment_gateway_clock_skew),
        pace=Pace(
            timeout=settings.payment_gateway_timeout,
            lease_for=settings.payment_lease,
            poll=settings.payment_poll,
            concurrency=settings.payment_gateway_connections,
            key_life=settings.payment_key_life,
            hold_life=settings.payment_hold_life,
            most=settings.payment_limits,
        ),
        patience=Patience(
            first_retry=settings.payment_first_retry,
            longest_retry=settings.payment_longest_retry,
            look_again=settings.payment_look_again,
            late_look=settings.payment_late_look,
        ),
    )


PROGRAM = Program(NAME, Settings, build, Path(__file__).parents[2])
