"""What every store must do, whatever it is made of."""

import itertools
import threading
import uuid

import obstore
import pytest

from tracekit.errors import StoreError
from tracekit.store import open_store, remote
from tracekit.store.filesystems import FilesystemStore


@pytest.fixture(params=["local", "memory", "s3", "gs", "fsspec"])
def store(request, tmp_path):
    if request.param == "fsspec":
        return FilesystemStore(f"memory://{uuid.uuid4().hex}")
    if request.param in ("s3", "gs"):
        return open_store(request.getfixturevalue(request.param) + "/store")
    url = f"{tmp_path}/store" if request.param == "local" else f"memory://{uuid.uuid4().hex}"
    return open_store(url)


def test_objects_come_back(store):
    store.put("a/b", b"0123456789")
    store.put("a/b", b"9876543210")
    store.put("empty", b"")
    store.sync()

    assert store.get("a/b") == b"9876543210"
    assert store.get("empty") == b""


def test_what_is_not_there(store):
    store.put("a/b", b"1")
    for key in ("a", "a/c", "a/b/c", "c"):
        assert store.get(key) is store.get_range(key, 0, 1) is store.get_range(key, -1, 1) is None


def test_ranges_are_slices(store):
    data = b"0123456789"
    store.put("a/b", data)
    for start, length in itertools.product((0, 3, 9, 10, 40, -1, -4, -10, -40), (0, 1, 4, 40)):
        first = start if start >= 0 else max(0, 10 + start)
        assert store.get_range("a/b", start, length) == data[first : first + length], (start, length)


def test_ranges_of_an_empty_object(store):
    store.put("empty", b"")
    assert store.get_range("empty", 0, 5) == store.get_range("empty", -5, 5) == b""


def test_children_are_names_directly_under_a_prefix(store):
    assert not store.exists()
    assert list(store.children()) == []
    for key in ("zarr.json", "w/zarr.json", "w/values/c/0/0", "w/values/c/1/0", "weights/x"):
        store.put(key, b"1")

    assert store.exists()
    assert list(store.children()) == ["w", "weights", "zarr.json"]
    assert list(store.children("w")) == ["values", "zarr.json"]
    assert list(store.children("w/values/c")) == ["0", "1"]
    assert list(store.children("we")) == list(store.children("nowhere")) == []


def test_a_listing_is_never_old(store):
    for number in range(5):
        assert list(store.children("c")) == [str(n) for n in range(number)]
        store.put(f"c/{number}", b"1")


def test_removing(store):
    for key in ("a/b", "a/c/d", "a/c/e", "ac/f", "g"):
        store.put(key, b"1")
    store.remove("a/b")
    store.remove("a/b")
    store.remove("no/such/key")
    assert store.get("a/b") is None
    assert store.get("a/c/d") == b"1"

    store.remove_tree("a")
    store.remove_tree("a")
    store.sync()
    assert list(store.children()) == ["ac", "g"]
    assert store.get("ac/f") == b"1"


def test_deleting_leaves_nothing_and_a_new_start(store):
    for key in ("a/b", "g"):
        store.put(key, b"1")
    store.delete()
    assert not store.exists()
    store.put("h", b"1")
    assert list(store.children()) == ["h"]


def test_an_object_is_exchanged_only_for_what_is_there(store):
    assert not store.exchange("a/b", [b"1"], b"2")
    assert store.get("a/b") is None
    assert store.exchange("a/b", [b"1", None], b"2")
    assert not store.exchange("a/b", [None], b"3")
    assert not store.exchange("a/b", [b"1", b"3"], b"3")
    assert store.get("a/b") == b"2"
    assert store.exchange("a/b", [b"1", b"2"], b"3")
    assert store.get("a/b") == b"3"


def test_an_object_is_put_only_in_place_of_the_one_that_was_seen(store):
    assert store.version("a/b") is store.version("a") is None
    store.put("another", b"0")
    assert store.put_unless_changed("a/b", [b"1"], store.version("another")) is None
    assert store.get("a/b") is None
    first = store.put_unless_changed("a/b", [b"one", b" ", b"two"], None)
    assert first is not None
    assert store.version("a") is None
    assert store.get("a/b") == b"one two"
    assert store.put_unless_changed("a/b", [b"3"], None) is None
    second = store.put_unless_changed("a/b", [b"4"], first)
    assert second not in (None, first)
    assert store.put_unless_changed("a/b", [b"5"], first) is None
    assert store.get("a/b") == b"4"
    store.put("a/b", b"67")
    assert store.put_unless_changed("a/b", [b"8"], second) is None
    assert store.put_unless_changed("a/b", [b"9"], store.version("a/b")) is not None
    assert store.get("a/b") == b"9"


def test_so_is_an_object_that_comes_in_parts(s3, monkeypatch):
    monkeypatch.setattr(remote, "PART_BYTES", 5 << 20)
    store, pieces = open_store(f"{s3}/store"), [bytes(3 << 20)] * 4
    first = store.put_unless_changed("a", pieces, None)
    assert store.get("a") == b"".join(pieces)
    assert store.put_unless_changed("a", pieces, None) is None
    second = store.put_unless_changed("a", [*pieces, b"1"], first)
    assert store.get("a") == b"".join(pieces) + b"1"
    assert store.put_unless_changed("a", pieces, first) is None
    assert store.put_unless_changed("a", [b"2"], second) is not None
    assert store.get("a") == b"2"


@pytest.mark.parametrize("at_first", [None, b"0"])
def test_of_many_exchanges_at_once_one_succeeds(place, at_first):
    store = open_store(f"{place}/store", "rename")
    if at_first is not None:
        store.put("a", at_first)
    for number in range(1, 11):
        old = store.get("a")
        start, done = threading.Barrier(4), []

        def exchange(mine, start=start, old=old, done=done):
            start.wait()
            if store.exchange("a", [old], mine):
                done.append(mine)

        threads = [threading.Thread(target=exchange, args=(f"{number} {n}".encode(),)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert done == [store.get("a")]


def test_an_exchange_whose_answer_was_lost_has_happened(s3, monkeypatch):
    """The client puts once more then, and is told that something else is there: its own."""
    store = open_store(f"{s3}/store")
    store.put("a", b"1")
    put = obstore.put

    def put_twice(*arguments, **settings):
        put(*arguments, **settings)
        put(*arguments, **settings)

    monkeypatch.setattr(obstore, "put", put_twice)
    assert store.exchange("a", [b"1"], b"2")
    assert store.exchange("b", [None], b"2")


def test_more_objects_than_a_page_of_a_listing_or_deletion(s3):
    store = open_store(f"{s3}/store")
    for number in range(1005):
        store.put(f"c/{number}/0", b"1")
    assert len(list(store.children("c"))) == 1005
    store.remove_tree("c")
    assert not store.exists()


def test_readers_never_see_a_part(store):
    contents = [bytes([n]) * 200_000 for n in range(2)]
    store.put("a", contents[0])
    stop, puts = threading.Event(), []

    def write():
        while not stop.is_set():
            store.put("a", contents[len(puts) % 2])
            puts.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [store.get("a") for _ in range(60)]
    finally:
        stop.set()
        writer.join()
    assert puts
    assert all(data in contents for data in seen)


def test_another_client_sees_what_was_put(place):
    open_store(f"{place}/run.zarr/").put("a", b"1")
    assert open_store(f"{place}/run.zarr").get("a") == b"1"
    assert open_store(f"{place}/run2.zarr").get("a") is None


def test_names_are_taken_as_they_are(place):
    names = ["run 1.zarr", "run%201.zarr", "run#1.zarr", "run#2.zarr", "run?.zarr", "größe*[1].zarr"]
    for name in names:
        open_store(f"{place}/{name}").put("a b/ü#?%20", name.encode())
    for name in names:
        store = open_store(f"{place}/{name}")
        assert store.get("a b/ü#?%20") == name.encode()
        assert list(store.children("a b")) == ["ü#?%20"]
    if not place.startswith("memory"):
        assert set(open_store(place).children()) == set(names)


def test_a_url_names_its_store(place):
    assert open_store(f"{place}/run.zarr").url == f"{place}/run.zarr"


def test_a_file_url_is_the_path(tmp_path):
    open_store(f"file://{tmp_path}/run.zarr").put("a", b"1")
    assert open_store(tmp_path / "run.zarr").get("a") == b"1"


@pytest.mark.parametrize("url", ["s3:/traces/run.zarr", "memory:/run.zarr", "file:/data/run.zarr"])
def test_a_url_that_was_made_a_path_is_refused(url):
    with pytest.raises(StoreError, match="pass it as a str"):
        open_store(url)


@pytest.mark.parametrize("url", ["s3://traces", "s3://traces/", "gs://traces//"])
def test_a_whole_bucket_is_no_trace(url):
    with pytest.raises(StoreError, match="needs a name in the bucket"):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "gopher://run",
        "s3://no bucket/run.zarr",
        "s3:///run.zarr",
        "s3://b/x/../run.zarr",
        "s3://b/x//run.zarr",
    ],
)
def test_urls_that_make_no_sense(url):
    with pytest.raises(StoreError, match=url):
        open_store(url)
