"""Repositories of the Hub that lie on the disk, where its cache would have them."""

import pytest


class FakeHub:
    """Stands in for the Hub; knows what was asked of it."""

    def __init__(self, root):
        self.root = root
        self.requests = []
        """Name of a repository, and whether the cache alone was to be looked into."""

    def folder(self, name):
        """Where a repository lies: as in the Hub's cache, its name is not the folder's."""
        return self.root / f"models--{name.replace('/', '--')}" / "snapshots" / ("0" * 40)

    def __call__(self, name, *, local_files_only=False, **options):
        self.requests.append((name, local_files_only))
        if not self.folder(name).is_dir():
            raise FileNotFoundError(f"{name} is not on the Hub")
        return str(self.folder(name))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty Hub, in place of the real one."""
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr("ldrestore.weights.folders.snapshot_download", fake)
    monkeypatch.setattr("ldrestore.weights.folders._fetched", {})  # or what another test fetched would be found
    return fake
