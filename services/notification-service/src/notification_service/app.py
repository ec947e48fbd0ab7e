"""The composition root: settings in, running parts out."""

from datetime import timedelta
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

from notification_service.api import ROUTERS, Parts
from notification_service.channels.mail import Email
from notification_service.channels.merchants import Merchants
from notification_service.channels.signing import Vault
from notification_service.channels.smtp import MailServer
from notification_service.channels.stationery import Stationery
from notification_service.consumers import SUBSCRIPTION
from notification_service.domain.addresses import Digests
from notification_service.sending.forgetting import Janitor
from notification_service.sending.letters import Sender
from notification_service.sending.webhooks import Messenger, Patience
from notification_service.settings import Settings

NAME = "notification-service"

FORGETTING = timedelta(minutes=10)
"""A log is kept for weeks: what is minutes late there does no harm."""


def build(settings: Settings) -> Service:
    """Build every part of the service; nothing runs yet."""
    database = Database(settings, name=NAME)
    health = Health()
    stationery = Stationery.load()
    digests = Digests(settings.derived_key("addresses"))
    vault = Vault(settings.derived_key("webhooks"))
    janitor = Janitor(database, settings.mail_keep, settings.webhook_keep)
    sender = Sender(
        database,
        Email(MailServer.at(settings.smtp_url), settings.mail_sender, settings.smtp_timeout),
        stationery,
        digests,
        settings.mail_give_up_after,
        settings.smtp_connections,
    )
    api = create_app(
        title="Pedido notifications",
        service=NAME,
        settings=settings,
        verifier=TokenVerifier.from_jwks(settings),
        health=health,
        routers=ROUTERS,
    )
    api.state.parts = Parts(
        database,
        stationery,
        digests,
        vault,
        settings.webhook_secret_overlap,
        settings.webhook_allow_private_networks,
    )
    consumer = Consumer(SUBSCRIPTION, database=database, kafka=settings)
    ops.mount(api, consumer, database, settings)
    return Service(
        name=NAME,
        settings=settings,
        database=database,
        health=health,
        api=api,
        consumer=consumer,
        relay=Relay(database, settings),
        loops=[
            sender,
            build_messenger(settings, database, vault),
            SweepLoop("old logs", database, janitor.sweep, FORGETTING),
        ],
    )


def build_messenger(settings: Settings, database: Database, vault: Vault) -> Messenger:
    """Build the loop that calls merchants' endpoints."""
    merchants = Merchants(
        timeout=settings.webhook_timeout,
        connections=settings.webhook_connections,
        private_allowed=settings.webhook_allow_private_networks,
    )
    patience = Patience(settings.webhook_delays, settings.webhook_disable_after)
    return Messenger(database, merchants, vault, patience, settings.webhook_connections)


PROGRAM = Program(NAME, Settings, build, Path(__file__).parents[2])
