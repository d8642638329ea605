"""Many stored runs: time to open them, to read and measure them, and to take kept metrics.

Run `python benchmarks/many_runs`: minutes to write the runs, then seconds. Half of the runs are trained in
the same order, the others each in its own, which is the slowest case.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tracekit import open_traces, plugins
from tracekit.collection.numbers import numbers_of_runs
from tracekit.collection.tables import run_numbers
from tracekit.protocols import Metric
from tracekit.testing.written import write_example_trace

ARMS = ("open", "open, read and all metrics", "all metrics, kept")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=25)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.runs):
            write(Path(folder), number, arguments.tasks, arguments.epochs)
        pattern = f"{folder}/*.zarr"
        numbers_of_runs(pattern, metrics())  # keeps them
        best = np.min([measure(pattern) for _ in range(arguments.repeats)], axis=0)
    print(f"{arguments.runs} runs of {arguments.epochs} epochs of {arguments.tasks} tasks")
    for name, (wall, cpu) in zip(ARMS, best, strict=True):
        print(f"{name}: {wall:.2f} s wall, {cpu:.2f} s CPU")


def write(folder: Path, number: int, n_tasks: int, n_epochs: int) -> None:
    random = np.random.default_rng(number)
    shuffled = [random.permutation(n_tasks) for _ in range(n_epochs)]
    write_example_trace(
        folder / f"{number:04}.zarr",
        n_tasks=n_tasks,
        n_epochs=n_epochs,
        order="shuffled" if number % 2 else "cyclic",
        schedule=np.stack(shuffled) if number % 2 else None,
        durability="rename",
    )


def measure(pattern: str) -> list[tuple[float, float]]:
    opened = timed(lambda: open_traces(pattern, kinds=["losses"]))
    measured = timed(lambda: run_numbers(open_traces(pattern, kinds=["losses"]), metrics()))
    return [opened, measured, timed(lambda: numbers_of_runs(pattern, metrics()))]


def timed(action: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return (time.perf_counter() - wall, time.process_time() - cpu)


def metrics() -> list[Metric]:
    return [plugins.load("tracekit.metrics", name) for name in plugins.names("tracekit.metrics")]


if __name__ == "__main__":
    main()
