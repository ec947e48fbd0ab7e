"""Use cases that come from outside: outcomes of attempts, and what staff and customers ask for."""

from notification_service.handlers.letters import remove_suppression as remove_suppression
from notification_service.handlers.letters import resend_notice as resend_notice
from notification_service.handlers.letters import settle_letters as settle_letters
from notification_service.handlers.webhooks import add_endpoint as add_endpoint
from notification_service.handlers.webhooks import change_endpoint as change_endpoint
from notification_service.handlers.webhooks import redeliver as redeliver
from notification_service.handlers.webhooks import remove_endpoint as remove_endpoint
from notification_service.handlers.webhooks import rotate_secret as rotate_secret
from notification_service.handlers.webhooks import settle_deliveries as settle_deliveries
