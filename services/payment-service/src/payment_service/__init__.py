"""Takes, captures and returns money through a provider."""
