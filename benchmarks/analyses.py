"""What analyses cost against the plain thing: ratios, every arm in a process of its own, in turn.

- The Gram matrix of `--visits` × `--elements` float32 (random walks) from a trace against a bare numpy loop
  over blocks of columns of a memory map, with the same arithmetic; against all of it loaded as float64 and
  multiplied; and against `xr.dot` on the stored chunks, of 1/`--dot-share` of the columns.
- The last 25 visits added to the Gram matrix of those before them, as it is kept; and the Gram matrix of each
  of 64 parts of a row, read once.
- The norm of every tensor, from the same trace.
- The Gram matrix and the norms at 4, 16, 64 and 96 times `--scaled-elements`, of rows made up block by block,
  so that the disk need not hold them: 50 GB at the most.
- `import analyses`, and `tracekit analyze recovery RUN`, from a cold start.

Run `python benchmarks/analyses.py`: minutes, 4 GB of temporary disk. `benchmarks/many_runs` measures
the recovery metrics of 200 runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tracekit import Field, Plan, Rows, TraceWriter
from tracekit.testing.written import write_example_trace

Found = dict[str, float]

MEASURE = """
import json, sys, time
import dask.array
import distributed  # which dask does when it computes for the first time, where it is installed
import numpy as np
import xarray as xr
import analyses
from analyses.grams import anchored_products, gram_of_products
from tracekit import open_trace
from tracekit.testing import peak_memory
folder, size = sys.argv[1], int(sys.argv[2])
wall, cpu = time.perf_counter(), time.process_time()
{code}
found = {{"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}}
np.save(f"{{folder}}/{name}.npy", matrix)
print(json.dumps({{**found, "MiB": peak_memory() / 2**20}}))
"""

VALUES = 'open_trace(f"{folder}/walk.zarr")["weights/flat"]["values"]'
ARMS = {
    "tracekit": f"matrix = analyses.gram({VALUES}).values",
    "numpy loop": """
rows = np.load(f"{folder}/walk-rows.npy", mmap_mode="r")
matrix = np.zeros((len(rows), len(rows)))
for start in range(0, rows.shape[1], 8192):
    block = rows[:, start : start + 8192].astype(np.float64)
    block -= block.mean(axis=0)
    matrix += block @ block.T
""",
    "all as float64": """
import zarr
weights = zarr.open_group(f"{folder}/walk.zarr", mode="r")["weights/values"][:].astype("float64")
weights -= weights.mean(axis=0)
matrix = weights @ weights.T
""",
}
NORMS = 'matrix = analyses.statistics(open_trace(f"{folder}/walk.zarr"), names=["norm"])["norm"].values'
EXTENSION = {
    "but for the last": f"matrix = anchored_products({VALUES}[:-25])['products'].values",
    "the last added": f"""
dims = ("model", "place", "place_other")
known = xr.Dataset({{"products": (dims, np.load(folder + "/but for the last.npy"))}})
matrix = gram_of_products(anchored_products({VALUES}, known=known)).values
""",
}
PARTS = f"""
values = {VALUES}
names = [dict(name=f"layers.{{n}}.weight", shape=[values.shape[1] // 64]) for n in range(64)]
matrix = analyses.gram(values.assign_attrs(fields=names), by="layer").sum("layer").values
"""
DOT = """
stored = xr.open_zarr(f"{folder}/walk.zarr/weights", consolidated=False, chunks=None)["values"][:, :size]
stored = stored.chunk(visit=1, element=65536)
matrix = xr.dot(stored, stored.rename(visit="other"), dim="element").values
"""
SCALED = """
def block(block_info):
    (first, last), (start, stop) = block_info[None]["array-location"]
    column = np.arange(start, stop, dtype=np.float32) * np.float32(1e-3)
    return np.sin(column) * np.linspace(0, 1, last - first, dtype=np.float32)[:, None]
chunks = ((126,), (65536,) * (size // 65536))
rows = dask.array.map_blocks(block, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0), np.float32))
values = xr.DataArray(rows, dims=("visit", "element"))
"""
SCALED_GRAM = f"{SCALED}matrix = analyses.gram(values).values"
SCALED_NORMS = f"""{SCALED}
values.attrs["fields"] = [dict(name=f"layers.{{n}}.weight", shape=[size // 256]) for n in range(256)]
flat = values.assign_coords(visit=np.arange(126)).to_dataset(name="values")
tree = xr.DataTree.from_dict({{"/weights": xr.Dataset(), "/weights/flat": flat}})
matrix = analyses.statistics(tree, names=["norm"])["norm"].values
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--visits", type=int, default=126)
    parser.add_argument("--elements", type=int, default=4_000_000)
    parser.add_argument("--scaled-elements", type=int, default=2**20)
    parser.add_argument("--dot-share", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["gram"], help="Leave out what is not the Gram matrix of a trace.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_walk(Path(folder), arguments.visits, arguments.elements)
        gram(folder, arguments)
    if arguments.only is None:
        scaled(arguments)
        cold(arguments.repeats)


def gram(folder: str, arguments: argparse.Namespace) -> None:
    """Compare the ways to a Gram matrix."""
    arms = ARMS | EXTENSION | {"of 64 layers": PARTS, "norms": NORMS}
    best = in_turn(arms, folder, arguments.elements, arguments.repeats)
    print(f"\nGram matrix of {arguments.visits} visits x {arguments.elements / 1e6:.1f} M float32")
    for name, found in best.items():
        show(name, found, best["tracekit"])
    exact = np.load(f"{folder}/all as float64.npy")
    for name in ("tracekit", "the last added", "of 64 layers"):
        error = np.abs(np.load(f"{folder}/{name}.npy") - exact).max() / np.abs(exact).max()
        print(f"  largest relative error, {name}: {error:.1e}")
    part = measure("xr.dot", DOT, folder, arguments.elements // arguments.dot_share)
    print(f"  xr.dot on 1/{arguments.dot_share} of the columns: {part['wall']:.1f} s, {part['MiB']:.0f} MiB")


def scaled(arguments: argparse.Namespace) -> None:
    """Measure time and memory against the number of columns."""
    for title, code in {"Gram matrix": SCALED_GRAM, "norms of 256 tensors": SCALED_NORMS}.items():
        print(f"\n{title}, 126 visits made up block by block")
        with tempfile.TemporaryDirectory() as folder:
            for factor in (4, 16, 64, 96):
                size = factor * arguments.scaled_elements
                show(f"{size / 1e6:.0f} M", measure(f"scaled{factor}", code, folder, size))


def cold(repeats: int) -> None:
    """Measure the start of the package and of a command, as a person waits for them."""
    with tempfile.TemporaryDirectory() as folder:
        run = str(write_example_trace(f"{folder}/run.zarr", n_tasks=25, n_epochs=5))
        commands = {
            "import analyses (aim 0.6 s)": ["-c", "import analyses"],
            "tracekit analyze recovery (aim 2 s)": [
                *(
                    "-c",
                    "from tracekit.cli.main import main; main()",
                    "analyze",
                    "recovery",
                    run,
                    "--no-cache",
                )
            ],
        }
        print()
        for name, command in commands.items():
            print(f"{name}: {min(seconds(command) for _ in range(repeats)):.2f} s wall")


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], capture_output=True, check=True)
    return time.perf_counter() - started


def in_turn(arms: dict[str, str], folder: str, size: int, repeats: int) -> dict[str, Found]:
    """Run all arms in turn, n times, and give the fastest run of each."""
    best: dict[str, Found] = {}
    for name, code in [*arms.items()] * repeats:
        found = measure(name, code, folder, size)
        best[name] = min(best.get(name, found), found, key=lambda each: each["wall"])
    return best


def measure(name: str, code: str, folder: str, size: int) -> Found:
    """Run code in a fresh process; give its seconds, wall and CPU, and its peak memory."""
    program = MEASURE.format(code=code, name=name)
    done = subprocess.run(
        [sys.executable, "-c", program, folder, str(size)], stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def show(name: str, found: Found, base: Found | None = None) -> None:
    ratio = f"   {found['wall'] / base['wall']:5.2f} x tracekit" if base else ""
    print(f"  {name:16} {found['wall']:6.2f} s, CPU {found['cpu']:6.2f} s, {found['MiB']:5.0f} MiB{ratio}")


def write_walk(folder: Path, n_visits: int, n_elements: int) -> None:
    """Write a trace of weights that walk at random, and the same rows as one array of numpy."""
    rng = np.random.default_rng(0)
    plan = Plan(np.zeros((1, n_visits - 1), np.int64), n_tasks=1, updates_per_visit=1)
    shape = (n_visits, n_elements)
    rows = np.lib.format.open_memmap(folder / "walk-rows.npy", "w+", np.float32, shape)
    weights = rng.standard_normal(n_elements, np.float32)
    with TraceWriter.create(folder / "walk.zarr", plan, durability="rename") as trace:
        trace.declare_rows(Rows("weights", (Field("w", (n_elements,)),), tuple(range(n_visits))))
        for number in range(n_visits):
            weights = weights + np.float32(0.02) * rng.standard_normal(n_elements, np.float32)
            rows[number] = weights
            trace.put_row("weights", number, weights)
            trace.commit(plan.visit(number))
    rows.flush()


if __name__ == "__main__":
    main()
