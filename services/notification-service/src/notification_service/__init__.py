"""Tells the customer."""
