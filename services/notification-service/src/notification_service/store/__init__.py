"""Tables and every SQL statement of notification-service."""
