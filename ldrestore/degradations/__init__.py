"""gt to lq: synthetic degradations, each a seeded function of severity or physical parameters, and their recipes."""

from ldrestore.degradations.degrade import degrade
from ldrestore.degradations.recipes import apply_recipe, list_degradations, list_mixtures, parse_recipe

__all__ = ["apply_recipe", "degrade", "list_degradations", "list_mixtures", "parse_recipe"]
