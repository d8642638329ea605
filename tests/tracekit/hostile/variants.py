"""Sound traces of other kinds than the base: what can be malformed in them, and how they are written."""

import numpy as np
from team_of_threads import together

from tracekit import Field, Plan, Rows, Series, TraceWriter
from tracekit.format import layout
from tracekit.schedule import OpenPlan, Visit

FIELDS = (Field("w", (5, 4)), Field("b", (3,)))
PLAN = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=2)
ALL = range(5)
LOSSES = (Series("losses", "eval_loss", dims=("task",)), Series("losses", "train_loss", "update"))
TASKS = {"task": ["a", "b"]}


def record(trace, kinds, row_of):
    """Record five visits of some kinds of rows, and of losses."""
    for rows in kinds:
        trace.declare_rows(rows)
    trace.declare_series(LOSSES, labels=TASKS)
    for number in ALL:
        trace.put("losses", "eval_loss", [number, number / 2])
        for update in range(2) if number else ():
            trace.put("losses", "train_loss", update + number)
        for rows in kinds:
            trace.put_row(rows.group, number, row_of(rows, number))
        trace.commit(Visit(number, 0, number - 1, number % 2) if number else Visit(0, -1, -1, -1))
    trace.close()


def counting_up(rows, number):
    """Give a row of which no two values are the same."""
    return np.arange(np.prod(rows.row_shape), dtype=rows.dtype).reshape(rows.row_shape) + 100 * number


def write_open_ended(path):
    """Write a trace whose end nobody knew."""
    trace = TraceWriter.create(path, OpenPlan(n_tasks=2), durability="rename")
    record(trace, [Rows("weights", FIELDS, ())], counting_up)


def write_by_a_team(path):
    """Write a trace of which two processes write their own part of each row."""

    def own_part(trace, rows, number):
        row = np.full(rows.row_shape, np.nan, rows.dtype)
        own = trace.stretches(rows.group)[trace.team.rank]
        row[own.start : own.stop] = counting_up(rows, number)[own.start : own.stop]
        return row

    def work(team):
        trace = TraceWriter.create(path, PLAN, durability="rename", team=team)
        record(trace, [Rows("weights", FIELDS, (*ALL,))], lambda *row: own_part(trace, *row))

    together(2, work)


def write_halves(path):
    """Write a trace of float16 rows, with a middle dim or none."""
    kinds = [
        Rows("weights", FIELDS, (*ALL,), dtype="float16"),
        Rows("activations", FIELDS, (*ALL,), ("probe", ("x", "y")), dtype="float16"),
    ]
    record(TraceWriter.create(path, PLAN, durability="rename"), kinds, counting_up)


def write_reduced(path):
    """Write a trace of statistics and of sketches."""
    sketch = {"kind": "count-sketch", "components": 8, "seed": 0, "table": 64, "per": "model"}
    statistics = (
        Field("norm", (2,), "float64", ("tensor",)),
        Field("quantiles", (2, 3), "float64", ("tensor", "quantile")),
    )
    kinds = [
        Rows(
            "weights_reductions",
            statistics,
            (*ALL,),
            dtype="float64",
            labels={"tensor": ("w", "b"), "quantile": ("0", "0.5", "1")},
            sources=FIELDS,
            attributes={"form": "reductions", "of": "weights", "sizes": [20.0, 3.0]},
        ),
        Rows(
            "weights_sketch",
            (Field("all", (8,), axes=("component",)),),
            (*ALL,),
            sources=FIELDS,
            attributes={"form": "sketch", "of": "weights", "sketch": sketch},
        ),
    ]
    record(TraceWriter.create(path, PLAN, durability="rename"), kinds, counting_up)


VARIANTS = {
    "open-ended": write_open_ended,
    "team": write_by_a_team,
    "halves": write_halves,
    "reduced": write_reduced,
}


def write_variant(name, path):
    """Write one of these, with several chunks and shards per row."""
    layout.CHUNK_BYTES, layout.SHARD_BYTES = 32, 64
    VARIANTS[name](path)
