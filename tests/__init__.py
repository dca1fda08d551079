"""The tests. A package, since others install a `tests` of their own, which would hide a folder that is none."""
