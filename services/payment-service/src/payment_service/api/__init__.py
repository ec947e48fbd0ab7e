"""HTTP in and out: payments and refunds as their owners and staff see them."""
