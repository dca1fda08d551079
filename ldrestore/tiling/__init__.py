"""Pictures of any size in bounded memory: one plan, one blend, and what all tiles of a picture share."""
