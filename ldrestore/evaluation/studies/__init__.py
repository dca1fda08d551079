"""Studies: questions about one model's parts, costs or training data that a plain suite does not ask; see `catalog`."""
