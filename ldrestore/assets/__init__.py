"""Embedded weights and their cards."""
