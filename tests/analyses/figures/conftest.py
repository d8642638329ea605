from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from tracekit.testing import synthetic_trace

MakeTraces = Callable[..., dict[str, xr.DataTree]]


@pytest.fixture
def make_traces() -> MakeTraces:
    """Gives a cyclic and a shuffled run of the same size."""

    def make(n_tasks: int = 4, n_epochs: int = 3) -> dict[str, xr.DataTree]:
        rng = np.random.default_rng(0)
        shuffled = np.stack([rng.permutation(n_tasks) for _ in range(n_epochs)])
        return {
            "cyclic": synthetic_trace(n_tasks=n_tasks, n_epochs=n_epochs),
            "shuffled": synthetic_trace(order=shuffled, order_name="shuffled"),
        }

    return make


@pytest.fixture
def traces(make_traces: MakeTraces) -> dict[str, xr.DataTree]:
    return make_traces()
