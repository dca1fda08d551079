"""Restoring for others: the page and its HTTP interface, and many machines at once."""
