"""Gram matrix of a weight trace: time as a ratio to what a user would do today, and peak memory.

Writes a trace of `--visits` × `--elements` float32 (random walks), then compares, each
in fresh processes, the better of two: `analyses.gram` on the opened trace, and loading everything with
zarr-python as float64 and multiplying. Run `python benchmarks/gram.py`: minutes, 2 GB of temporary disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tracekit import Field, Plan, Rows, TraceWriter

LAZY = """
from tracekit import open_trace
from analyses import gram
gram_matrix = gram(open_trace(path)["weights/flat"]["values"]).values
"""

EAGER = """
import zarr
weights = zarr.open_group(path, mode="r")["weights/values"][:].astype("float64")
weights -= weights.mean(axis=0)
gram_matrix = weights @ weights.T
"""

MEASURE = """
import json, sys, time
import numpy as np
from tracekit.testing import peak_memory
path, saved = sys.argv[1:]
started = time.perf_counter()
{code}
seconds = time.perf_counter() - started
np.save(saved, gram_matrix)
peak_mib = peak_memory() / 2**20
print(json.dumps({{"seconds": seconds, "peak_mib": peak_mib}}))
"""


def write_walk(path: Path, n_visits: int, n_elements: int) -> None:
    """Write a trace whose weights walk at random, a few parts in a hundred of their size at each visit."""
    rng = np.random.default_rng(0)
    plan = Plan(np.zeros((1, n_visits - 1), np.int64), n_tasks=1, updates_per_visit=1)
    weights = rng.standard_normal(n_elements, np.float32)
    with TraceWriter.create(path, plan, durability="rename") as trace:
        trace.declare_rows(Rows("weights", (Field("w", (n_elements,)),), tuple(range(n_visits))))
        for number in range(n_visits):
            weights = weights + 0.02 * rng.standard_normal(n_elements, np.float32)
            trace.put_row("weights", number, weights)
            trace.commit(plan.visit(number))


def measure(code: str, path: Path, saved: Path) -> dict[str, float]:
    """Run code in a fresh process; give its seconds and its peak memory."""
    program = MEASURE.format(code=code)
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(saved)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--visits", type=int, default=126)
    parser.add_argument("--elements", type=int, default=4_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "walk.zarr"
        write_walk(path, arguments.visits, arguments.elements)
        arms = {"lazy": LAZY, "eager": EAGER}
        found: dict[str, dict[str, float]] = {}
        for name, code in [*arms.items()] * 2:  # interleaved, and the first round warms the file cache
            numbers = measure(code, path, Path(folder) / f"{name}.npy")
            found[name] = min(found.get(name, numbers), numbers, key=lambda n: n["seconds"])
        grams = {name: np.load(Path(folder) / f"{name}.npy") for name in arms}
    error = np.abs(grams["lazy"] - grams["eager"]).max() / np.abs(grams["eager"]).max()
    for name, numbers in found.items():
        print(f"{name:6} {numbers['seconds']:7.1f} s   peak {numbers['peak_mib']:7.0f} MiB")
    print(f"eager / lazy time: {found['eager']['seconds'] / found['lazy']['seconds']:.1f}")
    print(f"largest relative error: {error:.1e}")


if __name__ == "__main__":
    main()
