"""Replays real orders through the public API and shows that nothing was lost."""
