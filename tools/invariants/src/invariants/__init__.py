"""Checks from outside that nothing was lost, doubled or oversold."""
