"""A corpus of malformed stores, and what becomes of each: run as a program, under limits of memory and time.

    python stores.py FOLDER corpus START STEP     every STEP-th of the named ones from START on
    python stores.py FOLDER random COUNT          as many made by hypothesis

Each store is a small sound trace with one thing changed; where that is metadata, it is sealed again, as
someone who means harm would do. It prints one JSON object: outcomes by name.
"""

import json
import os
import resource
import shutil
import sys
import time
from pathlib import Path

import dask
import numpy as np

from tracekit import Field, Plan, Rows, Series, TraceWriter, layout, open_trace
from tracekit.codecs import checksum
from tracekit.documents import seal
from tracekit.errors import TraceError
from tracekit.verify import verify

MEMORY_BYTES = 1 << 30
DEEP = 100_000
ARRAYS = (
    "weights/values",
    "gradients/values",
    "losses/eval_loss",
    "losses/train_loss",
    "visits/epoch",
    "commit",
)
GROUPS = ("weights", "gradients", "losses")
DOCUMENTS = ("", *ARRAYS, *GROUPS, "weights/visit", "losses/update_visit", "visits/wall_time_seconds")


def write_base(path):
    """Write a trace with several chunks and shards per row, a middle dim, and series of both samples."""
    layout.CHUNK_BYTES, layout.SHARD_BYTES = 32, 64
    plan = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=2)
    tasks = {"task": ["a", "b"]}
    with TraceWriter.create(path, plan, durability="rename") as trace:
        fields = (Field("w", (5, 4)), Field("b", (3,)))
        trace.declare_rows(Rows("weights", fields, (0, 1, 2, 3, 4)))
        trace.declare_rows(Rows("gradients", fields, (1, 3), ("task", ("a", "b"))))
        series = [Series("losses", "eval_loss", dims=("task",)), Series("losses", "train_loss", "update")]
        trace.declare_series(series, labels=tasks)
        for n in range(5):
            trace.put("losses", "eval_loss", [n, n / 2])
            for update in plan.updates(plan.visit(n)) if n else ():
                trace.put("losses", "train_loss", update.number)
            trace.put_row("weights", n, np.arange(23, dtype="f4") + 100 * n)
            if n in (1, 3):
                trace.put_row("gradients", n, -np.arange(46, dtype="f4").reshape(2, 23) - n)
            trace.commit(plan.visit(n))


def read_everything(path):
    """Open a trace, and read every variable and coordinate; values come as bytes."""
    with dask.config.set(scheduler="synchronous"):
        trace = open_trace(path)
        found = {"": {key: value for key, value in trace.attrs.items() if key != "path"}}
        for node in trace.subtree:
            dataset = node.to_dataset(inherit=False)
            for name, variable in dataset.variables.items():
                values = variable.values
                bytes_ = json.dumps(values.tolist()) if values.dtype == object else values.tobytes().hex()
                found[f"{node.path}/{name}"] = [variable.dims, values.shape, bytes_, variable.attrs]
    return json.loads(json.dumps(found, default=str))


def texts():
    """Name texts that are no document of ours, not even sealed ones."""
    return {
        "empty": b"",
        "open brace": b"{",
        "null": b"null",
        "list": b"[]",
        "number": b"3",
        "not a number": b"NaN",
        "zeros": bytes(100),
        "deep lists": b"[" * DEEP,
        "deep objects": b'{"a":' * DEEP,
        "no utf-8": b'{"attributes": "\xff\xfe"}',
        "utf-16": '{"zarr_format": 3}'.encode("utf-16"),
        "same key twice": b'{"zarr_format": 3, "zarr_format": 3, "attributes": {}}',
        "huge number": b'{"attributes": ' + b"9" * 5000 + b"}",
        "attributes of another type": b'{"zarr_format": 3, "node_type": "group", "attributes": [1]}',
        "not sealed": b'{"zarr_format": 3, "node_type": "group", "attributes": {}}',
    }


def large_texts():
    """Name texts that take long to read."""
    return {
        "9 MiB of blanks": b" " * (9 << 20),
        "4 MiB of lists": b'{"attributes": {"a": [' + b"[]," * (1_350_000) + b"[]]}}",
    }


def every_array(key):
    """Give edits of the metadata of any array: path in the document, and new values."""
    sharded = key.endswith("values")
    inner = ("codecs", 0, "configuration")
    edits = {
        ("shape",): [
            [],
            [-1],
            [2**63],
            ["7"],
            [5.0, 23.0],
            [True, 23],
            None,
            [5] * 40,
            [10**30, 23],
            {"a": 1},
            5,
        ],
        ("data_type",): [
            "object",
            "|O",
            "complex64",
            "string",
            "bytes",
            "bool",
            "int8",
            5,
            None,
            ["float32"],
            {"name": "numpy.datetime64", "configuration": {"unit": "s"}},
        ],
        ("chunk_grid",): [None, [], {"name": "regular"}, {"name": "rectangular"}],
        ("chunk_grid", "configuration", "chunk_shape"): [
            [],
            [0],
            [-1],
            [2**62],
            [2**31, 2**31],
            ["1"],
            [1.0],
            None,
            [True],
            [10**40],
        ],
        ("codecs",): [
            None,
            [],
            {},
            [None],
            ["bytes"],
            [{"name": "pickle"}],
            [{"name": "numcodecs.pickle"}],
            [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip"}],
            [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "crc32c"}],
            [{"name": "crc32c"}, {"name": "bytes", "configuration": {"endian": "little"}}],
            [{"name": "sharding_indexed"}],
            [{"name": "vlen-utf8"}, {"name": "crc32c"}],
        ],
        ("dimension_names",): [
            None,
            [],
            ["visit"] * 9,
            [1, 2],
            ["visit", "visit"],
            ["..", "/"],
            "visit",
            ["", ""],
        ],
        ("fill_value",): [None, True, "Infinity", "zero", {}, 0.5],
        ("chunk_key_encoding",): [
            None,
            {"name": "v2"},
            {"name": "default", "configuration": {"separator": "."}},
        ],
        ("zarr_format",): [2, True, 3.0, "3", None],
        ("node_type",): ["group", None, 3],
        ("storage_transformers",): [None, [{"name": "x"}], {}],
        ("extension",): [{"must_understand": True}],
        ("attributes",): [None, [], 3],
    }
    if sharded:
        edits |= {
            (*inner, "chunk_shape"): [None, [0, 0], [1, 7], [1, 2**40], [1, 1, 7], ["a"], [2**31, 2**31]],
            (*inner, "index_location"): ["start", None, 3],
            (*inner, "index_codecs"): [None, [], [{"name": "bytes", "configuration": {"endian": "little"}}]],
            (*inner, "codecs", 1, "configuration"): [None, {}, {"cname": "zstd"}],
            (*inner, "codecs", 1, "configuration", "typesize"): [0, True, 10**9, "4", None],
            (*inner, "codecs", 1, "configuration", "cname"): ["zstd", "/bin/sh", None],
        }
    return edits


def every_tensor_group():
    """Give edits of the metadata of a group of rows."""
    return {
        ("attributes", "fields"): [None, {}, "w", [None], [[]], [{}], []],
        ("attributes", "fields", 0): [None, 7, {"name": "w"}],
        ("attributes", "fields", 0, "name"): [
            "",
            " ",
            "..",
            ".",
            "/etc/passwd",
            "../w",
            "a/b",
            "a\\b",
            "a\n",
            "\x00",
            "\ud800",
            "b",
            "visit",
            "flat",
            "epoch",
            "axis0_5",
            "element",
            "n" * 2000,
            None,
            3,
            ["w"],
        ],
        ("attributes", "fields", 0, "shape"): [
            None,
            20,
            [-5, -4],
            [5.0, 4.0],
            [True, 20],
            [2**62, 2**62],
            [0, 4],
            ["5", 4],
            [5, 4, 10**30],
            [1] * 40,
            [21],
        ],
        ("attributes", "fields", 0, "offset"): [1, -1, 0.0, False, None, "0", 2**63, 10**30],
        ("attributes", "fields", 1, "offset"): [0, 19, 21, 20.0],
        ("attributes", "fields", 0, "dtype"): [None, 4, ["float32"]],
        ("attributes", "labels"): [
            None,
            [],
            "task",
            {"visit": ["a"]},
            {"..": ["a"]},
            {"axis0_5": ["x"] * 5},
            {"w": ["a"]},
        ],
        ("attributes", "units"): [3, None, ["nats"]],
        ("attributes", "gaps"): [None, 3, [-1], [99], [1.0], ["1"], [10**30]],
        ("zarr_format",): [2, None, True],
        ("node_type",): ["array", None],
    }


def every_series_group():
    """Give edits of the metadata of a group of series."""
    return {
        ("attributes", "labels"): [None, {}, [], {"task": "ab"}, {"task": ["a"]}, {"task": ["a", "b", "c"]}],
        ("attributes", "labels", "task"): [None, [1, 2], ["a", None], ["a", "a"], ["\ud800", "b"], {"a": 1}],
        ("attributes", "fields"): [[], [{"name": "w", "shape": [2], "offset": 0, "dtype": "float32"}]],
        ("node_type",): ["array", 5],
    }


def every_root():
    """Give edits of the metadata of a trace."""
    return {
        ("attributes",): [None, {}, []],
        ("attributes", "format"): ["zarr", None, ["tracekit"]],
        ("attributes", "format_version"): [True, 1.0, "1", 2, None, -1, [1]],
        ("attributes", "status"): ["done", None, [], {}],
        ("attributes", "n_tasks"): [-1, 2.0, "2", None, True, 1],
        ("attributes", "n_epochs"): [-1, None, True, 1],
        ("attributes", "updates_per_visit"): [-1, None, "2"],
        ("attributes", "snapshots_planned"): [-1, 3, 4, 10**30, 2**50, None, 5.0, True],
        ("attributes", "software"): [None, [], {"python": 3}],
        ("attributes", "run_id"): [None, 5],
        ("attributes", "created"): [None, 5],
        ("attributes", "configuration"): ["text", [1], 3],
        ("attributes", "order"): [3, ["cyclic"]],
        ("attributes", "huge"): ["x" * (9 << 20)],
        ("attributes", "deep"): [json.loads("[" * 200 + "]" * 200)],
        ("zarr_format",): [2, True],
        ("node_type",): ["array"],
    }


def set_at(document, path, value):
    """Change one entry of a document, or add it."""
    *way, last = path
    for step in way:
        document = document[step]
    document[last] = value


def sealed_edit(key, path, value):
    """Give a function that changes an entry of a document of a store, and seals it again."""

    def apply(root):
        file = root / key / "zarr.json"
        document = json.loads(file.read_text())
        set_at(document, path, value)
        file.write_bytes(sealed(document))

    return apply


def sealed(document):
    """Seal a document even where the writer would refuse."""
    if not isinstance(document.get("attributes"), dict):
        return json.dumps(document).encode()
    try:
        return seal(document)
    except TraceError:
        return json.dumps(document).encode()


def replace(key, data):
    """Give a function that replaces a file."""
    return lambda root: (root / key).write_bytes(data)


def with_checksum(data):
    """Give bytes with their checksum behind them."""
    return bytes(data) + checksum(bytes(data))


def int64(*numbers):
    """Give a chunk of whole numbers."""
    return with_checksum(np.array(numbers, "<i8").tobytes())


def shard(*parts, entries=None):
    """Give a shard of some chunks, with an index that may lie about them."""
    ends = np.cumsum([len(part) for part in parts])
    true = [(end - len(part), len(part)) for end, part in zip(ends, parts, strict=True)]
    return b"".join(parts) + with_checksum(np.array(true if entries is None else entries, "<u8").tobytes())


def frame(content=32, block=32, compressed=None, flags=0x24, body=b"", version=2, typesize=4):
    """Give a blosc frame whose header says what it is told to."""
    size = 16 + len(body) if compressed is None else compressed
    numbers = np.array([content, block, size], "<u4").tobytes()
    return with_checksum(bytes([version, 1, flags, typesize]) + numbers + body)


def chunk_edits():
    """Name objects that hold no chunks, or chunks that are no values, with checksums that are right."""
    ok = frame(flags=0x36, body=bytes(range(32)))
    key, first = "weights/values/c/2/0", "weights/values/c/2/1"
    big = 2**64 - 1
    frames = {
        "claims 4 GiB": frame(content=2**32 - 1),
        "claims 2 GiB blocks": frame(block=2**31),
        "no blocks": frame(block=0),
        "longer than it is": frame(compressed=10_000, body=bytes(20)),
        "shorter than it is": frame(compressed=17, body=bytes(40)),
        "block outside": frame(body=np.array([10_000], "<u4").tobytes() + bytes(8)),
        "block in the header": frame(body=np.array([2], "<u4").tobytes() + bytes(8)),
        "block of negative size": frame(body=np.array([20, 2**32 - 5], "<u4").tobytes() + bytes(8)),
        "another compressor": frame(flags=0x84, body=bytes(30)),
        "no type size": frame(typesize=0, body=bytes(30)),
        "version 9": frame(version=9, body=bytes(30)),
        "copied but short": frame(flags=0x36, body=bytes(8)),
        "tiny": with_checksum(b"\x02\x01"),
        "nothing": with_checksum(b""),
        "less than a checksum": b"\x01",
    }
    entries = {
        "missing chunk": [(big, big), (0, len(ok))],
        "far offset": [(2**63, 10), (0, len(ok))],
        "overlap": [(0, len(ok)), (0, len(ok))],
        "long chunk": [(0, 2**40), (2**40, len(ok))],
        "wraps around": [(0, big), (big, 52)],
        "not from the start": [(4, 48), (52, 52)],
        "one entry": [(0, len(ok))],
        "a hundred entries": [(0, 1)] * 100,
    }
    edits = {f"frame: {name}": replace(key, shard(data, ok)) for name, data in frames.items()}
    edits |= {f"index: {name}": replace(first, shard(ok, ok, entries=e)) for name, e in entries.items()}
    edits |= {
        "shard: empty": replace(key, b""),
        "shard: zeros": replace(key, bytes(500)),
        "shard: 20 MB of zeros": replace(key, bytes(20_000_000)),
        "series: too long": replace("losses/eval_loss/c/0/0", with_checksum(bytes(1000))),
        "series: too short": replace("losses/eval_loss/c/0/0", with_checksum(bytes(8))),
        "series: 20 MB": replace("losses/eval_loss/c/0/0", with_checksum(bytes(20_000_000))),
        "epochs: too many": replace("visits/epoch/c/0", int64(-1, 0, 0, 1, 99)),
        "epochs: negative": replace("visits/epoch/c/0", int64(-1, 0, 0, -1, 1)),
        "tasks: too many": replace("visits/trained_task/c/0", int64(-1, 0, 1, 1, 2)),
        "tasks: at visit 0": replace("visits/trained_task/c/0", int64(0, 0, 1, 1, 0)),
        "positions: huge": replace("visits/position/c/0", int64(-1, 2**62, 1, 0, 1)),
    }
    for name, numbers in {
        "more than planned": (6, 0),
        "huge": (2**62, 0),
        "negative": (-1, 0),
        "negative generation": (5, -1),
        "one number": (5,),
        "three numbers": (5, 0, 0),
    }.items():
        edits[f"marker: {name}"] = replace("commit/c/0", int64(*numbers))
    for name, numbers in {
        "negative": (-1, 1, 2, 3, 4),
        "same twice": (0, 1, 1, 3, 4),
        "down": (4, 3, 2, 1, 0),
        "huge": (0, 1, 2, 3, 2**62),
        "beyond the plan": (0, 1, 2, 3, 5),
        "too few": (0, 1),
        "missing": (-1, -1, -1, -1, -1),
    }.items():
        edits[f"visits: {name}"] = replace("weights/visit/c/0", int64(*numbers))
        edits[f"visits of losses: {name}"] = replace("losses/visit/c/0", int64(*numbers))
    for name, numbers in {
        "negative": (-1, 1, 2, 2, 3, 3, 4, 4),
        "from 0": (0, 1, 2, 2, 3, 3, 4, 4),
        "down": (4, 4, 3, 3, 2, 2, 1, 1),
        "beyond": (1, 1, 2, 2, 3, 3, 4, 9),
    }.items():
        edits[f"visits of updates: {name}"] = replace("losses/update_visit/c/0", int64(*numbers))
    return edits


def linked(key):
    def apply(root):
        outside = root.with_name("outside")
        path = root / key
        shutil.rmtree(outside, ignore_errors=True)
        if path.is_dir():
            shutil.copytree(path, outside)
            shutil.rmtree(path)
        else:
            outside.mkdir()
            shutil.copy(path, outside / "file")
            path.unlink()
            outside = outside / "file"
        path.symlink_to(outside)

    return apply


def device(key):
    def apply(root):
        (root / key).unlink()
        (root / key).symlink_to("/dev/zero")

    return apply


def pipe(key):
    def apply(root):
        (root / key).unlink()
        os.mkfifo(root / key)

    return apply


def folder(key):
    def apply(root):
        (root / key).unlink()
        (root / key).mkdir()

    return apply


def loop(key):
    def apply(root):
        shutil.rmtree(root / key)
        (root / key).symlink_to(root / key)

    return apply


def stray(name):
    def apply(root):
        (root / os.fsdecode(name)).mkdir()

    return apply


def version_2(key):
    def apply(root):
        (root / key / "zarr.json").unlink()
        old = {"zarr_format": 2, "shape": [1], "dtype": "|O", "filters": [{"id": "pickle"}]}
        (root / key / (".zarray" if "/" in key else ".zgroup")).write_text(json.dumps(old))

    return apply


def file_edits():
    """Name changes of files and folders."""
    files = ("zarr.json", "commit/c/0", "weights/zarr.json", "weights/values/c/2/0", "losses/eval_loss/c/0/0")
    folders = (
        "weights",
        "weights/values",
        "weights/values/c",
        "weights/values/c/2",
        "visits",
        "commit",
        "losses/visit",
    )
    edits = {f"link out: {key}": linked(key) for key in (*files, *folders)}
    edits |= {f"link to a device: {key}": device(key) for key in files}
    edits |= {f"pipe: {key}": pipe(key) for key in files}
    edits |= {f"folder for a file: {key}": folder(key) for key in files}
    edits |= {f"link to itself: {key}": loop(key) for key in folders}
    edits |= {
        f"stray group: {name!r}": stray(name) for name in (b"new", b"a\nb", b"\xff", b"__x", b"n" * 200, b" ")
    }
    edits |= {
        f"stray series: {name!r}": stray(b"losses/" + name)
        for name in (b"epoch", b"task", b"a\tb", b"axis0_1")
    }
    edits |= {
        f"format 2: {key}": version_2(key) for key in ("", "weights", "weights/values", "losses/eval_loss")
    }
    edits |= {f"gone: {key}": lambda root, key=key: (root / key).unlink() for key in files}
    return edits


def corpus():
    """Name every malformed store: what makes it of a sound one."""
    edits = {}
    for key in DOCUMENTS:
        for name, data in (texts() | (large_texts() if key in ("", "weights") else {})).items():
            edits[f"text: {key or 'root'}: {name}"] = replace(f"{key}/zarr.json".lstrip("/"), data)
    documents = {key: every_array(key) for key in ARRAYS}
    documents |= {
        "weights": every_tensor_group(),
        "gradients": every_tensor_group(),
        "losses": every_series_group(),
    }
    documents[""] = every_root()
    for key, changes in documents.items():
        for path, values in changes.items():
            for number, value in enumerate(values):
                place = ".".join(map(str, path))
                edits[f"edit: {key or 'root'}: {place}: {number}"] = sealed_edit(key, path, value)
    return (
        edits
        | {f"chunk: {name}": edit for name, edit in chunk_edits().items()}
        | {f"file: {name}": edit for name, edit in file_edits().items()}
    )


def outcome(base, path, edit):
    """Make one store, open and read it, verify it; say what became of it, and how long that took."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(base, path)
    edit(path)
    started = time.process_time()
    try:
        found = read_everything(path)
        said = "same" if found == read_everything.original else "different"
    except TraceError as error:
        said = f"{type(error).__name__}: {error}"
    except BaseException as error:  # noqa: BLE001 - anything else is what is looked for
        said = f"BROKEN {type(error).__name__}: {error}"[:500]
    try:
        faults = len(verify(path, threads=1).faults)
    except TraceError:
        faults = -1
    except BaseException as error:  # noqa: BLE001
        faults, said = -1, f"BROKEN in verify {type(error).__name__}: {error}"[:500]
    return {"said": said, "faults": faults, "seconds": time.process_time() - started}


def random_edits(base, path, count):
    """Let hypothesis change entries of documents; no value may come out that was not put in."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    plain = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.sampled_from([2**40, "visit"])
    )
    anything = st.recursive(
        plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
    )
    texts_of = {key: (base / key / "zarr.json").read_text() for key in DOCUMENTS}
    original = {value[2] for key, value in read_everything.original.items() if key}
    counts = {"errors": 0, "read": 0, "slowest": 0.0}

    def ways(value, path=()):
        if path:
            yield path
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, dict | list):
                yield from ways(inner, (*path, key))
            else:
                yield (*path, key)

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(DOCUMENTS), st.data())
    def no_harm(key, data):
        document = json.loads(texts_of[key])
        set_at(document, data.draw(st.sampled_from(list(ways(document)))), data.draw(anything))
        (path / key / "zarr.json").write_bytes(sealed(document))
        started = time.process_time()
        try:
            found = read_everything(path)
            numbers = {value[2] for name, value in found.items() if name and not value[2].startswith("[")}
            assert numbers <= original, "values made up"  # a sealed edit may well rename things
            counts["read"] += 1
        except TraceError:
            counts["errors"] += 1
        finally:
            counts["slowest"] = max(counts["slowest"], time.process_time() - started)
            (path / key / "zarr.json").write_text(texts_of[key])

    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(base, path)
    no_harm()
    return counts


def limit_memory():
    """Allow as much memory as is used now, and 1 GiB more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(folder, mode, *numbers):
    """Do what the arguments say."""
    base = Path(folder) / "base.zarr"
    if not base.exists():
        write_base(base)
    read_everything.original = read_everything(base)
    assert verify(base).faults == ()
    limit_memory()
    if mode == "random":
        print(json.dumps(random_edits(base, Path(folder) / "random.zarr", int(numbers[0]))))
        return
    start, step = map(int, numbers)
    chosen = list(corpus().items())[start::step]
    path = Path(folder) / f"hostile-{start}.zarr"
    print(json.dumps({name: outcome(base, path, edit) for name, edit in chosen}))


if __name__ == "__main__":
    main(*sys.argv[1:])
