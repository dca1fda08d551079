"""Training: one loop in `loop/`, what it trains in `tasks/`. Run `python -m ldrestore.training CONFIG`."""
