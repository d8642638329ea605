"""The Gram matrix of 126 visits × 4 million float32 fits into 1 GiB, data and libraries included.

That of thousands of visits takes some times the matrix itself, and no more the more columns there are.
"""

import subprocess
import sys

import numpy as np
import pytest

from tracekit import Field, Plan, Rows, TraceWriter

MEASURE = """
import dask
import dask.array as da
import numpy as np
import xarray as xr
from analyses.grams import gram
from tracekit.testing import peak_memory

def block(block_info=None):
    (rows, columns) = block_info[None]["array-location"]
    time = np.linspace(0, 1, rows[1], dtype=np.float32)[:, None]
    column = np.arange(*columns, dtype=np.float32)[None, :]
    values = np.sin(column * np.float32(1e-3)) * time
    values *= np.float32(1e-3)  # in place: the memory of making values is not what is measured
    values += np.float32(0.3)
    return values

chunks = ((126,), (262_144,) * 15 + (67_840,))
values = da.map_blocks(block, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0), np.float32))
values = xr.DataArray(values, dims=("visit", "element"), coords={"visit": np.arange(126)})
with dask.config.set(scheduler="threads", num_workers=2):
    found = gram(values).values
assert values.sizes["element"] == 4_000_000
time = np.linspace(0, 1, 126) - 0.5
expected = np.outer(time, time) * np.square(1e-3 * np.sin(np.arange(4e6) * 1e-3)).sum()
assert np.abs(found - expected).max() < 1e-4 * expected.max(), "wrong numbers"
print(peak_memory())
"""


def test_peak_memory_stays_under_a_gibibyte():
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 2**30


MEASURE_TRACE = """
import sys
import dask
from analyses import gram
from tracekit import flat, open_trace
from tracekit.testing import peak_memory

trace = open_trace(sys.argv[1])
before = peak_memory()
with dask.config.set(scheduler="threads", num_workers=2):
    gram(flat(trace, "weights")).values
print(peak_memory() - before)
"""


@pytest.mark.slow
def test_memory_of_thousands_of_visits_is_bounded_by_the_matrix(tmp_path):
    n_visits, n_columns = 2500, 1 << 16
    plan = Plan(np.zeros((1, n_visits - 1), np.int64), n_tasks=1, updates_per_visit=1)
    row = np.random.default_rng(0).standard_normal(n_columns, np.float32)
    with TraceWriter.create(tmp_path / "run.zarr", plan, codec="none", durability="rename") as trace:
        trace.declare_rows(Rows("weights", (Field("w", (n_columns,)),), tuple(range(n_visits))))
        for visit in range(n_visits):
            trace.put_row("weights", visit, row + np.float32(visit))
            trace.commit(plan.visit(visit))

    ran = subprocess.run(
        [sys.executable, "-c", MEASURE_TRACE, tmp_path / "run.zarr"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    # blocks of all visits, and two threads' products, sums and data; all of the trace would be 625 MiB
    assert int(ran.stdout) < 256 * 2**20 + 14 * 8 * n_visits**2
