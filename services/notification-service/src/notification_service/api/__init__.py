"""HTTP in and out: routes translate, and never decide."""

from notification_service.api import (
    deliveries,
    notices,
    preferences,
    suppressions,
    templates,
    webhooks,
)
from notification_service.api.parts import Parts as Parts

ROUTERS = (
    notices.router,
    preferences.router,
    templates.router,
    suppressions.router,
    webhooks.router,
    deliveries.router,
)
"""Go under the API prefix."""
