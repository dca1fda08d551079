"""Network blocks that several architectures share, each defined once."""
