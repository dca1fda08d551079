"""Suites of `ldrestore bench`, one file each."""
