"""How often an object store is asked, and what is said when it does not answer as it should."""

import pickle
import socket
import subprocess
import sys
import time

import numpy as np
import obstore
import pytest

from tracekit import Field, Plan, Rows, Series, TraceWriter, open_trace
from tracekit.errors import StoreError, TraceWriteError
from tracekit.store import clients, open_store, remote
from tracekit.testing.written import write_example_trace

PLAN = Plan(np.array([[0, 1]]), n_tasks=2, updates_per_visit=1)


@pytest.fixture
def closed_port():
    """A port of this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def few_retries(monkeypatch):
    monkeypatch.setattr(clients, "RETRIES", {"max_retries": 1})


def start(url):
    """Make a trace of two kinds of tensors and two series."""
    trace = TraceWriter.create(url, PLAN)
    for kind in ("weights", "gradients"):
        trace.declare_rows(Rows(kind, (Field("w", (300, 400)), Field("b", (300,))), (0, 1, 2)))
    trace.declare_series([Series("losses", "eval_loss"), Series("losses", "train_loss", "update")])
    return trace


def put(trace, number):
    for kind in ("weights", "gradients"):
        trace.put_row(kind, number, np.full(120_300, number, "f4"))
    trace.put("losses", "eval_loss", 1.0)
    if number:
        trace.put("losses", "train_loss", 1.0)


def test_a_visit_takes_one_request_per_object_and_the_marker_comes_last(s3, server):
    trace = start(f"{s3}/run.zarr")
    for number in range(3):
        server.counted()
        put(trace, number)
        trace._state.background.wait()
        data = len(server.requests)
        trace.commit(PLAN.visit(number))
    requests = server.counted()
    trace.close()

    assert data <= 2
    puts = [request for request in requests if request.startswith("PUT ")]
    assert len(puts) == 2 + 3 + 1, "two shards, three series (the wall time among them), the marker"
    assert puts[-1].endswith("/commit/c/0")


def test_a_shard_takes_its_index_and_one_range(s3, server):
    trace = start(f"{s3}/run.zarr")
    put(trace, 0)
    trace.commit(PLAN.visit(0))
    weights = open_trace(trace.url)["weights"]
    server.counted()

    assert (weights["w"].isel(visit=0).values == 0).all()
    whole = server.counted()
    assert (weights["b"].isel(visit=0).values == 0).all()
    small = server.counted()

    for requests in (whole, small):
        assert [request.split()[-1].split("=")[0] == "bytes" for request in requests] == [True, True, False]
        assert requests[-1].endswith("/commit/c/0"), "the generation, which vouches for what was read"
    assert whole[0].split()[-1].startswith("bytes=-"), "the index, from the end, without asking for the size"
    first, last = map(int, small[1].split("bytes=")[1].split("-"))
    assert last - first < 300 << 10, "of the second chunk alone"


def test_opening_takes_few_requests_however_long_the_run(s3, server):
    counts = []
    for n_epochs in (2, 15):
        url = write_example_trace(f"{s3}/{n_epochs}.zarr", n_epochs=n_epochs)
        server.counted()
        open_trace(url)
        counts.append(len(server.counted()))

    assert counts[0] == counts[1] <= 32


def test_requests_wait_together_not_one_after_another(s3, server):
    url = write_example_trace(f"{s3}/run.zarr", n_epochs=10)
    trace = open_trace(url)
    server.counted()
    server.latency_seconds = 0.05

    started = time.perf_counter()
    trace["weights/flat"]["values"].compute()
    seconds = time.perf_counter() - started

    assert len(server.counted()) == 2 * 31 + 1
    assert seconds < 0.5 * 2 * 31 * 0.05


def test_a_large_object_is_one_request_and_a_larger_one_comes_in_parts(s3, server, monkeypatch):
    store = open_store(f"{s3}/run.zarr")
    store.put("large", bytes(6 << 20))
    assert len(server.counted()) == 1
    monkeypatch.setattr(remote, "PART_BYTES", 5 << 20)
    data = np.random.default_rng(0).bytes(11 << 20)
    store.put("larger", data)
    assert len(server.counted()) == 1 + 3 + 1
    assert store.get("larger") == data


def test_no_such_bucket(s3):
    with pytest.raises(StoreError, match=r"s3://absent/run\.zarr.*there is no such bucket; create it first"):
        open_trace("s3://absent/run.zarr")
    with pytest.raises(StoreError, match="there is no such bucket"):
        start("s3://absent/run.zarr")
    store = open_store("s3://absent/run.zarr")
    for ask in (
        lambda: store.get("a"),
        lambda: store.get_range("a", 0, 1),
        lambda: store.put("a", b"1"),
        lambda: store.remove("a"),
        lambda: store.remove_tree("a"),
        store.delete,
        lambda: list(store.children()),
    ):
        with pytest.raises(StoreError, match=r"there is no such bucket; .* \(NoSuchBucket\)"):
            ask()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        ("403 Forbidden", "AccessDenied", r"access is denied; check .* \(AccessDenied\)"),
        ("401 Unauthorized", "InvalidAccessKeyId", "the credentials are not accepted"),
        ("400 Bad Request", "InvalidRequest", r"the store refused; .* \(InvalidRequest\)"),
    ],
)
def test_refused_requests(s3, refuse, status, code, words):
    refuse(s3.removeprefix("s3://traces"), status, code)
    refuse("/guarded", status, code)
    for ask in (
        lambda: open_store(f"{s3}/run.zarr").get("a"),
        lambda: open_store(f"{s3}/run.zarr").put("a", b"1"),
        lambda: open_trace("s3://guarded/run.zarr"),
    ):
        with pytest.raises(StoreError, match=words):
            ask()


def test_nobody_listens(s3, closed_port, few_retries, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(
        StoreError, match=r"run\.zarr: the store cannot be reached; check the network and AWS_"
    ):
        open_trace(f"{s3}/run.zarr")


def test_plain_http_never_leaves_this_machine(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid:9000")
    with pytest.raises(StoreError, match="plain http is refused unless the endpoint is on this machine"):
        open_trace(f"{s3}/run.zarr")


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:9000", "nonsense", "http://", "http://127.0.0.1:port", "ftp://a"]
)
def test_an_endpoint_that_is_no_server(s3, monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(
        StoreError, match=r"^AWS_ENDPOINT_URL: expected http://HOST:PORT or https://HOST, found"
    ):
        open_trace(f"{s3}/run.zarr")


def test_no_credentials(s3, closed_port, few_retries, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(StoreError, match="found no credentials; set AWS_ACCESS_KEY_ID"):
        open_trace(f"{s3}/run.zarr")


def test_a_passing_failure_is_not_noticed(s3, server, refuse):
    trace = start(f"{s3}/run.zarr")
    refuse("weights/values/c/0", "503 Slow Down", "SlowDown", times=2)
    put(trace, 0)
    trace.commit(PLAN.visit(0))
    assert sum("weights/values/c/0" in request for request in server.counted()) == 3
    refuse("weights/values/c/0", "500 Internal Server Error", "InternalError", times=2)
    assert (open_trace(trace.url)["weights"]["w"].values == 0).all()


def test_a_run_that_may_no_longer_write_says_how_far_the_trace_is_good(s3, refuse):
    trace = start(f"{s3}/run.zarr")
    put(trace, 0)
    trace.commit(PLAN.visit(0))
    refuse("weights/values/c/1", "403 Forbidden", "AccessDenied")
    put(trace, 1)
    with pytest.raises(TraceWriteError, match=r"access is denied.*the trace is good up to visit 0 \(1 of 3"):
        trace.commit(PLAN.visit(1))
    trace.close("failed")

    seen = open_trace(trace.url)
    assert seen.attrs["snapshots_committed"] == 1
    assert seen["gradients"].sizes["visit"] == 1


def test_deleting_takes_what_makes_it_a_trace_last(s3, monkeypatch):
    """Cut off, it must still be known as a trace, so that overwriting can delete the rest."""
    taken = []
    delete = obstore.delete
    monkeypatch.setattr(obstore, "delete", lambda store, keys: taken.extend(keys) or delete(store, keys))
    open_store(write_example_trace(f"{s3}/run.zarr")).delete()
    assert len(taken) > 20
    assert taken[-1] == "zarr.json"


def test_credentials_are_not_pickled(s3):
    travelling = pickle.dumps(open_store(f"{s3}/run.zarr"))
    assert b"testing" not in travelling
    assert pickle.loads(travelling).url == f"{s3}/run.zarr"


def test_without_obstore_the_extra_is_named(s3, monkeypatch):
    monkeypatch.setitem(sys.modules, "tracekit.store.remote", None)
    with pytest.raises(StoreError, match="install the `remote` extra of tracekit-ml"):
        open_store(f"{s3}/run.zarr")


def test_local_traces_load_no_client(tmp_path):
    code = f"""
import sys
from tracekit import open_trace
from tracekit.testing.written import write_example_trace
open_trace(write_example_trace(r"{tmp_path}/run.zarr"))
print([name for name in ("obstore", "moto", "boto3") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
