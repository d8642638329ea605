"""What is particular to `gs://`: how its server is named, and what errors advise."""

import pytest

from tracekit import open_trace
from tracekit.errors import StoreError
from tracekit.store import open_store


def test_an_emulator_is_named_as_for_the_clients_of_google(gs, google_storage, monkeypatch):
    open_store(gs).put("a", b"1")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google_storage.endpoint.removeprefix("http://"))
    assert open_store(gs).get("a") == b"1"


def test_the_server_itself_may_be_named(gs, google_storage, monkeypatch):
    monkeypatch.setenv(
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        '{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}',
    )
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://store.invalid")
    monkeypatch.setenv("GOOGLE_BASE_URL", google_storage.endpoint)
    open_store(gs).put("a", b"1")
    assert open_store(gs).get("a") == b"1"


def test_plain_http_never_leaves_this_machine(gs, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://store.invalid:4443")
    with pytest.raises(StoreError, match=r"plain http is refused .* or set GOOGLE_ALLOW_HTTP=true"):
        open_trace(f"{gs}/run.zarr")


@pytest.mark.parametrize("variable", ["GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST"])
def test_an_endpoint_that_is_no_server(gs, monkeypatch, variable):
    monkeypatch.setenv(variable, "ftp://a")
    with pytest.raises(
        StoreError, match=f"^{variable}: expected http://HOST:PORT or https://HOST, found 'ftp://a'"
    ):
        open_trace(f"{gs}/run.zarr")


def test_an_object_of_several_parts(gs):
    store, data = open_store(gs), bytes(range(256)) * (1 << 18)  # 64 MiB
    pieces = [data[start : start + (1 << 20)] for start in range(0, len(data), 1 << 20)]
    seen = store.put_unless_changed("large", pieces, None)
    assert seen is not None
    assert store.get("large") == data
    assert store.put_unless_changed("large", pieces, None) is None
    assert store.put_unless_changed("large", [b"small"], seen) is not None
    assert store.put_unless_changed("large", pieces, seen) is None
    assert store.get("large") == b"small"
