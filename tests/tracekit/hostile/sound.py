"""The sound trace that every malformed store is made of, and everything that can be read of one."""

import json

import dask
import numpy as np

from tracekit import Field, Plan, Rows, Series, TraceWriter, open_trace
from tracekit.format import layout
from tracekit.format.precision import to_bfloat16


def write_base(path):
    """Write a trace with several chunks and shards per row, a middle dim, rows and series of both samples."""
    layout.CHUNK_BYTES, layout.SHARD_BYTES = 32, 64
    plan = Plan(np.array([[0, 1], [1, 0]]), n_tasks=2, updates_per_visit=2)
    tasks = {"task": ["a", "b"]}
    with TraceWriter.create(path, plan, durability="rename") as trace:
        fields = (Field("w", (5, 4)), Field("b", (3,)))
        trace.declare_rows(Rows("weights", fields, (0, 1, 2, 3, 4)))
        trace.declare_rows(Rows("gradients", fields, (1, 3), ("task", ("a", "b"))))
        trace.declare_rows(Rows("moments", fields, (1, 2, 2), dtype="bfloat16", updates=(1, 2, 3)))
        series = [Series("losses", "eval_loss", dims=("task",)), Series("losses", "train_loss", "update")]
        trace.declare_series(series, labels=tasks)
        for n in range(5):
            trace.put("losses", "eval_loss", [n, n / 2])
            for update in plan.updates(plan.visit(n)) if n else ():
                trace.put("losses", "train_loss", update.number)
                if update.number in (1, 2, 3):
                    trace.put_row("moments", update.number, to_bfloat16(np.arange(23) - update.number))
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
