"""A payment gateway that speaks Stripe's wire format and misbehaves when asked to."""
