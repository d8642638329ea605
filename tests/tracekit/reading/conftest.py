"""What tests of reading share."""

import pytest

from tracekit.store import LocalStore


@pytest.fixture
def opened(monkeypatch):
    """The objects of values that are opened."""
    keys = []
    real = LocalStore.open
    monkeypatch.setattr(LocalStore, "open", lambda self, key: keys.append(key) or real(self, key))
    return lambda: sorted(key for key in keys if "/values/c/" in key)
