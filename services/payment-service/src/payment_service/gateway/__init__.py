"""The provider's client: Stripe's wire format behind a circuit breaker."""
