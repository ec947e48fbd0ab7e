"""Use cases that come from outside: from the provider and from staff."""

from payment_service.handlers.reconciling import (
    finish_run,
    load_books,
    postpone_run,
    reconcile_all,
    reconcile_one,
    watch_books,
)
from payment_service.handlers.settling import settle_reports
from payment_service.handlers.webhooks import take_webhook

__all__ = [
    "finish_run",
    "load_books",
    "postpone_run",
    "reconcile_all",
    "reconcile_one",
    "settle_reports",
    "take_webhook",
    "watch_books",
]
