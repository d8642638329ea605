"""Axes of tensors have the names and labels that were declared, and none that would mean two things."""

import numpy as np
import pytest

from tracekit import Field, Plan, Rows, TraceWriter, open_trace
from tracekit.errors import TraceWriteError
from tracekit.format.checks import MalformedError
from tracekit.format.tensor_axes import check_axes

PLAN = Plan(np.array([[0, 1]]), n_tasks=2, updates_per_visit=1)
LABELS = {"tensor": ("a", "b", "c")}


def test_named_axes_come_back_with_their_labels(tmp_path):
    fields = (
        Field("norm", (3,), axes=("tensor",)),
        Field("quantiles", (3, 2), axes=("tensor", "quantile")),
        Field("called", (2, 4), axes=("call",)),
    )
    with TraceWriter.create(tmp_path / "run.zarr", PLAN) as writer:
        writer.declare_rows(Rows("reduced", fields, (0, 1, 2), middle=("task", ("x", "y")), labels=LABELS))
        for number in range(3):
            writer.put_row("reduced", number, np.arange(34, dtype=np.float32).reshape(2, 17) + number)
            writer.commit(PLAN.visit(number))

    found = open_trace(tmp_path / "run.zarr")["reduced"]
    assert found["norm"].dims == ("visit", "task", "tensor")
    assert found["quantiles"].dims == ("visit", "task", "tensor", "quantile_2")
    assert found["called"].dims == ("visit", "task", "call_2", "axis1_4")
    assert found["norm"].sel(visit=2, task="y", tensor="b") == 2 + 17 + 1


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        (["tensor"], [4], "4 places of 'tensor', and 3 labels"),
        (["tensor", "call"], [3], "2 names for 1 axes"),
        (["tensor", "tensor"], [3, 3], "tensor"),
        (["visit"], [3], "'visit_3' is the name of another thing"),
        (["task"], [2], "'task' is the name of another thing"),
        (["../up"], [2], r"\.\./up"),
        ([7], [2], "7"),
        ("tensor", [3], "tensor"),
    ],
)
def test_axes_that_make_no_sense_are_refused(axes, shape, message):
    record = {"name": "norm", "shape": shape, "offset": 0, "dtype": "float32", "axes": axes}
    labels = {**LABELS, "task": ("x", "y")}
    with pytest.raises(MalformedError, match=message):
        check_axes(record, labels, ["visit", "visit_3", "task", "norm"])


def test_a_writer_refuses_what_a_reader_would(tmp_path):
    with TraceWriter.create(tmp_path / "run.zarr", PLAN) as writer:
        rows = Rows("reduced", (Field("norm", (2,), axes=("tensor",)),), (0,), labels=LABELS)
        with pytest.raises(TraceWriteError, match="2 places of 'tensor', and 3 labels"):
            writer.declare_rows(rows)
