"""The local stack: real servers as plain processes; for development and tests, never an image."""
