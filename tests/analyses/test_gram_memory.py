"""The Gram matrix of 126 visits × 4 million float32 fits into 1 GiB, data and libraries included."""

import subprocess
import sys

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
