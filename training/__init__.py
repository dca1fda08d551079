"""Training: one loop on accelerate, one file a trainer. Run `python -m ldrestore.training CONFIG`."""
