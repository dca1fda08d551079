"""Another backend of attention than diffusers' default, which counts its calls."""

import pytest
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry


class RecordedBackend:
    """Another backend of diffusers than the default, which counts its calls."""

    name = "_native_math"

    def __init__(self):
        self.calls = 0
        self.attention = _AttentionBackendRegistry._backends[AttentionBackendName(self.name)]

    def __call__(self, *args, **options):
        self.calls += 1
        return self.attention(*args, **options)


@pytest.fixture
def recorded_backend(monkeypatch):
    """That backend; diffusers' process-wide choice stays as it is, so that only what was told of it calls it."""
    backend = RecordedBackend()
    monkeypatch.setitem(_AttentionBackendRegistry._backends, AttentionBackendName(backend.name), backend)
    monkeypatch.setattr(_AttentionBackendRegistry, "set_active_backend", lambda chosen: None)
    return backend
