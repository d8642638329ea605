"""How far a run is, where no terminal shows a bar."""

from types import SimpleNamespace

import numpy as np

from tracekit.cli.progress import RunProgress
from tracekit.protocols import Evaluation
from tracekit.schedule import Plan

N_VISITS = 10


def test_a_log_gets_a_line_a_minute_and_the_last(capsys):
    seconds = 0.0
    progress = RunProgress("run.zarr", clock=lambda: seconds)
    plan = Plan(np.zeros((1, N_VISITS), np.int64), n_tasks=1, updates_per_visit=1)
    progress.start(SimpleNamespace(plan=plan, snapshots=0))
    for number in range(N_VISITS + 1):
        progress.after_visit(plan.visit(number), Evaluation(np.array([1.0, 2.0]), np.array([])))
        seconds += 25.0
    progress.finish(None)
    assert capsys.readouterr().err.splitlines() == [
        f"training run.zarr: visit {number} of 10, mean loss 1.500" for number in (0, 3, 6, 9, 10)
    ]
