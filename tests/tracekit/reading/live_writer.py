"""Write a trace as fast as the disk takes it, in a process of its own. Each value encodes its visit."""

import sys
import time

import numpy as np

from tracekit import Field, Plan, Rows, Series, TraceWriter

N_COLUMNS = 5000


def main(path, n_visits, pause_seconds):
    plan = Plan(np.zeros((1, n_visits), np.int64), n_tasks=1, updates_per_visit=2)
    visits = range(n_visits + 1)
    with TraceWriter.create(path, plan, durability="rename") as trace:
        loss = Series("losses", "eval_loss", dims=("task",), units="nats")
        trace.declare_series([loss, Series("losses", "train_loss", "update")], labels={"task": ["a"]})
        trace.declare_rows(Rows("weights", (Field("w", (N_COLUMNS,)),), tuple(visits), dtype="float64"))
        trace.declare_rows(
            Rows("gradients", (Field("w", (N_COLUMNS,)),), tuple(visits)[1::2], dtype="float64")
        )
        for number in visits:
            trace.put("losses", "eval_loss", [number])
            if number:
                trace.put("losses", "train_loss", 2 * number - 2)
                trace.put("losses", "train_loss", 2 * number - 1)
            row = number * N_COLUMNS + np.arange(N_COLUMNS, dtype="f8")
            trace.put_row("weights", number, row)
            if number % 2:
                trace.put_row("gradients", number, -row)
            trace.commit(plan.visit(number))
            time.sleep(pause_seconds)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
