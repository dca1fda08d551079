"""Networks as training holds them: what is frozen, and what several parts make together."""
