"""Experiments as YAML, one file each; the first lines of a file are the command that runs it."""
