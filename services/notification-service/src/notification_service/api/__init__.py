"""HTTP in and out: routes translate, and never decide."""

from notification_service.api import notices, preferences, suppressions, templates
from notification_service.api.parts import Parts as Parts

ROUTERS = (notices.router, preferences.router, templates.router, suppressions.router)
"""Go under the API prefix."""
