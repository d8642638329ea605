"""How often tests reject true nulls, and intervals hold the truth, in simulated runs: `make calibrate`.

Writes the table of docs/calibration.md; `simulations.py` beside this holds what is simulated.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from simulations import (
    LEVEL,
    Row,
    any_interval,
    mann_whitney,
    mantel,
    of_orders,
    orders_interval,
    over_runs,
    page,
    representations,
    seeds_interval,
    tasks_interval,
    within_run,
)

from analyses.kernels import comparisons, representation, trends

REJECTION = (0.03, 0.07)
COVERAGE = (0.93, 0.97)
MORE = 5
TABLE = Path(__file__).parents[2] / "docs" / "calibration.md"

REJECTIONS: dict[str, Row] = {
    "recovery_test, pooled, 16 tasks, memory 0.5": within_run(16, 0.5),
    "recovery_test, pooled, 16 tasks, memory 0.9": within_run(16, 0.9),
    "recovery_test, pooled, 25 tasks, memory 0.8": within_run(25, 0.8),
    "recovery_test, one interval, 25 tasks, memory 0.8": within_run(25, 0.8, interval=0),
    "recovery_test, pooled, 16 tasks, memory 0.8, shared noise": within_run(16, 0.8, shared=0.05),
    "recovery_test, any of 5 intervals, Holm": any_interval(comparisons.holm),
    "recovery_test, any of 5 intervals, Benjamini–Hochberg": any_interval(comparisons.benjamini_hochberg),
    "order_test, paired, 16 tasks, memory 0.8": of_orders(16, 0.8),
    "order_test, not paired, 16 tasks, memory 0.8": of_orders(16, 0.8, paired=False),
    "order_test, paired, 16 tasks, memory 0.8, shared noise": of_orders(16, 0.8, shared=0.05),
    "order_test, not paired, 16 tasks, memory 0.8, shared noise": of_orders(
        16, 0.8, paired=False, shared=0.05
    ),
    "order_test, paired, 16 tasks, memory 0.8, shared noise as large as own": of_orders(16, 0.8, shared=0.15),
    "order_test of losses as they are, paired, 16 tasks, memory 0.8": of_orders(16, 0.8, less_shared=False),
    "page_test, 16 tasks, 5 intervals, memory 0.8": page(16, 0.8),
    "kendall, 12 runs": over_runs(lambda scores, sizes, _: trends.kendall(scores, sizes)[1]),
    "jonckheere, 12 runs in 3 groups": over_runs(
        lambda scores, sizes, seed: trends.jonckheere(scores, sizes, n_resamples=199, seed=seed)[1]
    ),
    "effect_size (Mann–Whitney), 16 and 16 tasks, memory 0.8": mann_whitney(16, 0.8),
    "mantel, residual cosine, memory 0.5, 50 elements": mantel(0.5, 50),
    "mantel, residual cosine, memory 0.9, 5 elements": mantel(0.9, 5),
    "mantel, residual cosine, random walk, 50 elements": mantel(1.0, 50),
    "cka, null of shuffled pairs": representations(representation.u_centered),
    "rsa, null of shuffled pairs": representations(
        lambda grams: representation.ranked(representation.dissimilarity(grams, euclidean=True))
    ),
}
BEYOND: dict[str, Row] = {
    "order_test of losses as they are, paired, 16 tasks, memory 0.8, shared noise": of_orders(
        16, 0.8, shared=0.05, less_shared=False
    ),
    "mantel, centered cosine, random walk, 50 elements": mantel(1.0, 50, residual=False),
}
"""What tests are not for: shown, so that nobody has to find out."""

SEEDS = {
    "differ as much as tasks make them": (1.0, 0.0),
    "differ 3 times as much": (3.0, 0.0),
    "do not differ but by their tasks": (0.0, 0.0),
    "differ as much as tasks make them, of the same tasks": (1.0, 0.1),
    "differ 3 times as much, of the same tasks": (3.0, 0.1),
    "do not differ, of the same tasks": (0.0, 0.1),
}
"""How many times seeds differ by what their tasks make them differ by, and what tasks do to all of them."""

COVERAGES: dict[str, Callable[[], Row]] = {
    "recovery_interval, percentile, 16 tasks, memory 0.8": lambda: tasks_interval(16, "percentile"),
    "recovery_interval, percentile, 25 tasks, memory 0.8": lambda: tasks_interval(25, "percentile"),
    "recovery_interval, BCa, 25 tasks, memory 0.8": lambda: tasks_interval(25, "bca"),
    "order_test, difference, 16 tasks, memory 0.8, shared noise": lambda: orders_interval(
        16, 0.8, shared=0.05
    ),
    "order_test, difference, 16 tasks, memory 0.8, shared noise as large as own": lambda: orders_interval(
        16, 0.8, shared=0.15
    ),
    **{
        f"seeds_interval, {n_seeds} seeds that {name}": partial(
            seeds_interval, n_seeds, ratio, of_tasks=of_tasks
        )
        for n_seeds in (8, 5, 3)
        for name, (ratio, of_tasks) in SEEDS.items()
    },
}


def _given(row: Row) -> Row:
    return row


def rate(row: Row, n_simulations: int, bounds: tuple[float, float] | None = None) -> tuple[float, int]:
    """Give the share of simulations in which a test rejects, or an interval holds the truth, and how many.

    Where that is less than two standard errors from a bound, on either side, there are `MORE` times as many.
    """
    rng = np.random.default_rng(0)
    said = [row(rng, seed) for seed in range(n_simulations)]
    if bounds is not None and _is_open(float(np.mean(said)), n_simulations, bounds):
        said += [row(rng, seed) for seed in range(n_simulations, MORE * n_simulations)]
    return float(np.mean(said)), len(said)


def _is_open(share: float, n_simulations: int, bounds: tuple[float, float]) -> bool:
    error = np.sqrt(share * (1 - share) / n_simulations)
    return any(abs(share - bound) < 2 * error for bound in bounds)


class Table(NamedTuple):
    """Rows of one kind: what they say, and within which bounds it is to be."""

    title: str
    share: str
    rows: dict[str, Callable[[], Row]]
    bounds: tuple[float, float] | None


TABLES = (
    Table(
        "test", "rejects at 0.05", {name: partial(_given, row) for name, row in REJECTIONS.items()}, REJECTION
    ),
    Table("95 % interval", "holds the truth", COVERAGES, COVERAGE),
    Table(
        "beyond what a test is for",
        "rejects at 0.05",
        {n: partial(_given, r) for n, r in BEYOND.items()},
        None,
    ),
)


def write(n_simulations: int) -> str:
    """Simulate every row, a process for each core, and write the tables."""
    jobs = [(number, name, n_simulations) for number, each in enumerate(TABLES) for name in each.rows]
    with ProcessPoolExecutor() as pool:
        lines = iter(list(pool.map(_line, jobs)))
    parts = []
    for title, share, rows, _ in TABLES:
        head = f"| {title} | {share} | runs | |\n|---|---|---|---|\n"
        parts.append(head + "\n".join(islice(lines, len(rows))))
    return "\n\n".join(parts)


def _line(job: tuple[int, str, int]) -> str:
    number, name, n_simulations = job
    _, _, rows, bounds = TABLES[number]
    started = time.perf_counter()
    found, n = rate(rows[name](), n_simulations, bounds)
    print(f"{found:.4f}  {name}  ({n:,} runs, {time.perf_counter() - started:.0f} s)", flush=True)
    outside = bounds is not None and not bounds[0] <= found <= bounds[1]
    return f"| {name} | {found:.4f} | {n:,} | {f'outside {bounds[0]} – {bounds[1]}' if outside else ''} |"


HEAD = """# How well tests and intervals are calibrated

Under a true null a test at 0.05 should reject in 0.03 to 0.07 of all runs; a 95 % interval should hold the
truth in 0.93 to 0.97. Written by `make calibrate` from {n:,} simulated runs for each row (standard error
{error:.4f}), and from {more:,} ({less:.4f}) where these are less than two standard errors from a bound, on
either side of it.

Losses are autocorrelated curves: for each task a first-order autoregression of standard deviation 0.15 of
its forgetting, with the memory named (the correlation from one snapshot to the next); with shared noise,
another one of 0.05 (as large: 0.15) that is the same for all tasks. Tasks are forgotten at once and nothing
recovers; forgetting differs between tasks by a quarter. Paths of weights are autoregressions, or random
walks, of 97 visits, less their mean over a window of 16. `benchmarks/calibration` holds the simulations.

"""


def main() -> None:
    """Simulate, and write docs/calibration.md."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    n = options.simulations
    error = float(np.sqrt(LEVEL * (1 - LEVEL) / n))
    head = HEAD.format(n=n, error=error, more=MORE * n, less=error / np.sqrt(MORE))
    options.out.write_text(head + write(n) + "\n\n" + NOTES)


NOTES = """\
`order_test` takes tasks for independent: noise that all tasks of a run share is not in its null. So the
scores it is given are those of `less_shared` losses, as in `tracekit analyze order-test`; the last table
shows what becomes of it otherwise. `corrected-recovery` has the test of `order-test`; noise that all tasks
share stays in corrected scores, and a test of these rejected 0.0915 with it. `mantel` holds for residual
cosines alone.

Intervals over seeds hold for tasks that all seeds share, and for tasks of each seed's own.
"""

if __name__ == "__main__":
    main()
