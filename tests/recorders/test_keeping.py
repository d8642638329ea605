"""What recorders keep, when and in which form."""

import numpy as np
import pytest
import torch

from recorders import ActivationRecorder, GradientRecorder, TaskGradientRecorder, WeightRecorder
from recorders.keeping import Kept, parse_keep
from tracekit.errors import ConfigurationError
from tracekit.format.schema import Field, Rows


class Trace:
    """Takes what a writer takes."""

    def __init__(self):
        self.declared, self.rows = [], {}

    def declare_rows(self, rows):
        self.declared.append(rows)

    def buffer(self, group, memory):
        rows = next(rows for rows in self.declared if rows.group == group)
        return np.full(rows.row_shape, np.nan, rows.dtype)

    def put_row(self, group, visit, values, under_way):
        for wait in under_way:
            wait()
        self.rows[group, visit] = values


class Doubled:
    """A form of one's own: the sum of all values, twice."""

    def declare(self, full, run):
        return Rows(full.group + "_doubled", (Field("sum", (2,)),), full.visits, middle=full.middle)

    def fill(self, row, tensors, place):
        row[:] = sum(float(tensor.sum()) for tensor in tensors)


FIELDS = (Field("a", (2, 2)), Field("b", (3,)))
A, B = torch.arange(4.0).reshape(2, 2), torch.tensor([1.0, 0.0, 2.0])


def test_several_forms_of_the_same_tensors():
    trace = Trace()
    kept = Kept(["full", Doubled()], None, trace, Rows("weights", FIELDS, visits=(0, 3)))
    kept.put(3, [A, B])

    assert [rows.group for rows in trace.declared] == ["weights", "weights_doubled"]
    np.testing.assert_array_equal(trace.rows["weights", 3], [0, 1, 2, 3, 1, 0, 2])
    np.testing.assert_array_equal(trace.rows["weights_doubled", 3], [9, 9])


def test_a_middle_dim_is_filled_place_by_place():
    trace = Trace()
    kept = Kept(["full", Doubled()], None, trace, Rows("g", FIELDS, visits=(0,), middle=("task", ("x", "y"))))
    reused = torch.zeros(3)

    def parts():
        for place in range(2):
            yield [A, reused.fill_(place)]

    kept.put_parts(0, parts())
    np.testing.assert_array_equal(trace.rows["g", 0], [[0, 1, 2, 3, 0, 0, 0], [0, 1, 2, 3, 1, 1, 1]])
    np.testing.assert_array_equal(trace.rows["g_doubled", 0], [[6, 6], [9, 9]])


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("ful", "no form 'ful': did you mean 'full'"),
        ({"kind": "full", "bits": 3}, "^keep: full: no option 'bits': there are none$"),
        ({"kind": "bfloat16", "dtype": "float16"}, "^keep: bfloat16: no option 'dtype': there are none$"),
        (
            {"kind": "sketch", "component": 8},
            "keep: sketch: no option 'component': did you mean 'components'",
        ),
        ({"kind": "reductions", "bits": 8}, "no option 'bits': there are histogram, quantiles, statistics"),
        ({}, "no form None"),
        ({"precision": "bfloat16"}, r"expected the key kind, .*found only \['precision'\]"),
        ([], "expected one form or more"),
    ],
)
def test_forms_that_make_no_sense_are_named(keep, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_keep(keep)


@pytest.mark.parametrize(
    ("keep", "kind"),
    [(["full", "bfloat16"], "weights"), (["sketch", {"kind": "sketch", "components": 64}], "weights_sketch")],
)
def test_forms_that_would_be_one_kind_are_refused_before_any_is_declared(keep, kind):
    trace = Trace()
    with pytest.raises(ConfigurationError, match=f"2 are written as '{kind}'; keep one of them"):
        Kept(keep, None, trace, Rows("weights", FIELDS, visits=(0, 3)))
    assert not trace.declared


@pytest.mark.parametrize(
    "recorder", [WeightRecorder, GradientRecorder, TaskGradientRecorder, ActivationRecorder]
)
def test_every_and_when_are_two_ways_to_say_one_thing(recorder):
    with pytest.raises(ConfigurationError, match="expected one of them, found both"):
        recorder(every=2, when={"epochs": [0]})
