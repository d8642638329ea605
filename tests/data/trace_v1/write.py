"""Write the traces of format version 1 that every later version must open: `python write.py` beside it.

Every number in them comes from a formula below, by which `test_format_version_1.py` checks them. They are
written once per format version, by the first tracekit that has it, and then never again.
"""

import shutil
from pathlib import Path

import numpy as np

from tracekit import Field, Plan, Rows, Series, TraceWriter
from tracekit.format import layout

HERE = Path(__file__).parent
ORDER = np.array([[0, 1, 2], [2, 0, 1]])
UPDATES_PER_VISIT = 2
TASKS = ("alpha", "beta", "gamma")
TEST_TASKS = ("held out",)
FIELDS = (Field("block.weight", (6, 5)), Field("block.bias", (7,)), Field("scale", (), "bfloat16"))
N_ELEMENTS = 38
# fixed here, for there is nothing to be learned from the machine that wrote it
ATTRIBUTES = {"order": "shuffled", "run_id": "1" * 32, "software": {"tracekit-ml": "0.1.0"}}
GRADIENT_VISITS = (0, 3, 6)
MODULES = (Field("block", (2, 3)),)


def eval_loss(visit, task):
    """Loss of a trained task."""
    return 3.0 + task - visit / 8


def test_loss(visit):
    """Loss of the held-out task."""
    return 5.0 - visit / 16


def train_loss(update):
    """Loss of an update."""
    return 4.0 - update / 32


def weights(visit):
    """Flat row of all weights."""
    return np.arange(N_ELEMENTS) / 4 - visit


def gradients(visit):
    """Flat rows of the gradients of every task, dims (task, element)."""
    return np.arange(len(TASKS))[:, None] * 100 + np.arange(N_ELEMENTS) / 2 + visit


def activations(visit):
    """Flat rows of the activations on two probes, dims (probe, element)."""
    return np.arange(2)[:, None] - np.arange(6) / 8 * (visit + 1)


def write(path, codec):
    """Write one trace."""
    plan = Plan(ORDER, n_tasks=len(TASKS), updates_per_visit=UPDATES_PER_VISIT)
    visits = tuple(range(plan.n_visits + 1))
    shutil.rmtree(path, ignore_errors=True)
    with TraceWriter.create(path, plan, attributes=ATTRIBUTES, codec=codec) as trace:
        trace.declare_series(
            [
                Series("losses", "eval_loss", dims=("task",), units="nats per token"),
                Series("losses", "test_loss", dims=("test_task",), units="nats per token"),
                Series("losses", "train_loss", "update", units="nats per token"),
            ],
            labels={"task": TASKS, "test_task": TEST_TASKS},
        )
        trace.declare_rows(Rows("weights", FIELDS, visits))
        trace.declare_rows(
            Rows("task_gradients", FIELDS, GRADIENT_VISITS, ("task", TASKS), attributes={"units": "nats"})
        )
        trace.declare_rows(Rows("activations", MODULES, visits, ("probe", TASKS[:2]), dtype="float16"))
        for number in visits:
            put_visit(trace, plan, number)
    return path


def put_visit(trace, plan, number):
    """Put and commit one visit."""
    visit = plan.visit(number)
    trace.put("losses", "eval_loss", [eval_loss(number, task) for task in range(len(TASKS))])
    trace.put("losses", "test_loss", [test_loss(number)])
    for update in plan.updates(visit) if number else ():
        trace.put("losses", "train_loss", train_loss(update.number))
    trace.put_row("weights", number, weights(number).astype("f4"))
    if number in GRADIENT_VISITS:
        trace.put_row("task_gradients", number, gradients(number).astype("f4"))
    trace.put_row("activations", number, activations(number).astype("f2"))
    trace.commit(visit)


def main():
    """Write both traces, in chunks and shards so small that each row takes several."""
    layout.CHUNK_BYTES, layout.SHARD_BYTES = 64, 128
    layout.SERIES_CHUNK_BYTES = 64
    for codec in ("lz4", "none"):
        write(HERE / f"{codec}.zarr", codec)


if __name__ == "__main__":
    main()
