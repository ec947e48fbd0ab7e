"""What payment decides: the aggregate, what it hears, what the provider answers."""
