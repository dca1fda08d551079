"""Folders that stand in for embedded weights."""

from ldrestore.assets.catalog import MODELS
from ldrestore.registry import ModelRecord


def embed_folder(monkeypatch, folder, *, name, **facts):
    """Let a name stand for a folder until the end of a test."""
    known = {"track": "stable", "tasks": ("rain",), "licence": "Apache-2.0", "parameters": 1, "summary": "a test's own"}
    record = ModelRecord(name=name, location=str(folder), **(known | facts))
    monkeypatch.setattr(MODELS, "_records", {**MODELS._records, name: record})
