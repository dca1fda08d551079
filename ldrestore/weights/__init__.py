"""Weights as files and in memory, for every room that loads some: folders, exact fits, hashes, published files."""
