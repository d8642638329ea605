"""What is not a trace is refused by name."""

import json

import pytest

from tracekit import TraceWriter, open_trace
from tracekit.errors import DamagedTraceError, NotATraceError, TraceError, TraceNotFoundError
from tracekit.format.documents import seal
from tracekit.schedule import OpenPlan
from tracekit.testing.written import write_example_trace


@pytest.fixture
def path(tmp_path):
    write_example_trace(tmp_path / "run.zarr")
    return tmp_path / "run.zarr"


def edit(file, **changes):
    """Change entries of a document, and seal it again."""
    file.write_bytes(seal(json.loads(file.read_text()) | changes))


def test_no_such_path(tmp_path):
    with pytest.raises(TraceNotFoundError, match="there is nothing here"):
        open_trace(tmp_path / "absent.zarr")


def test_a_file(tmp_path):
    (tmp_path / "run.zarr").write_text("not a folder")
    with pytest.raises(NotATraceError, match=r"there is no zarr\.json"):
        open_trace(tmp_path / "run.zarr")


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NotATraceError, match=r"there is no zarr\.json"):
        open_trace(tmp_path)


def test_another_zarr_store(tmp_path):
    import zarr

    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(NotATraceError, match="not a trace"):
        open_trace(tmp_path / "other.zarr")


def test_a_later_version(path):
    edit(path / "zarr.json", attributes={"format": "tracekit", "format_version": 3})
    with pytest.raises(NotATraceError, match="version 3; this tracekit reads versions 1 and 2: update it"):
        open_trace(path)


def test_broken_json(path):
    (path / "zarr.json").write_text("{")
    with pytest.raises(NotATraceError, match="not valid JSON"):
        open_trace(path)


def test_a_folder_of_traces(path):
    with pytest.raises(NotATraceError, match=r"a folder of some: name one of them, or all as '.*/\*\.zarr'"):
        open_trace(path.parent)


def test_making_was_cut_off(tmp_path):
    TraceWriter.create(tmp_path / "run.zarr", OpenPlan()).close("failed")
    (tmp_path / "run.zarr/commit/c/0").unlink()
    with pytest.raises(NotATraceError, match="cut off before anything was recorded"):
        open_trace(tmp_path / "run.zarr")


@pytest.mark.parametrize("lost", ["commit/c/0", "commit/zarr.json"])
def test_nobody_is_told_to_delete_what_was_recorded(path, lost):
    (path / lost).unlink()
    with pytest.raises(DamagedTraceError, match=f"{lost}: missing, though snapshots .* --repair"):
        open_trace(path)


def test_an_array_of_another_kind(path):
    edit(path / "weights/values/zarr.json", data_type="complex64")
    with pytest.raises(NotATraceError, match=r"weights/values/zarr\.json.*'complex64' are not read"):
        open_trace(path)


def test_a_missing_array(path):
    (path / "losses/eval_loss/zarr.json").unlink()
    with pytest.raises(NotATraceError, match="there is no losses/eval_loss"):
        open_trace(path)


def test_a_damaged_marker(path):
    marker = path / "commit/c/0"
    marker.write_bytes(b"\xff" + marker.read_bytes()[1:])
    with pytest.raises(DamagedTraceError, match="commit/c/0"):
        open_trace(path)


def test_a_missing_chunk_of_losses_is_not_nan(path):
    (path / "losses/eval_loss/c/0/0").unlink()
    trace = open_trace(path)
    with pytest.raises(DamagedTraceError, match="losses/eval_loss/c/0/0"):
        trace["losses"].eval_loss.compute()


def test_an_unknown_kind_of_store():
    with pytest.raises(TraceError, match="carrier-pigeon:// is not known"):
        open_trace("carrier-pigeon://loft/run.zarr")
