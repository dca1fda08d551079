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
    """That backend; afterwards diffusers' process-wide choice, which `set_attention_backend` changes, is undone."""
    backend = RecordedBackend()
    monkeypatch.setitem(_AttentionBackendRegistry._backends, AttentionBackendName(backend.name), backend)
    monkeypatch.setattr(_AttentionBackendRegistry, "_active_backend", _AttentionBackendRegistry._active_backend)
    return backend
