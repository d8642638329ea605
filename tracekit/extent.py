"""How far a trace reaches: its commit marker, and the place in time of every committed visit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from tracekit.layout import TIMELINE, read_layout
from tracekit.marker import require_marker
from tracekit.store import Store
from tracekit.store.parallel import each
from tracekit.stored import StoredSeries

TIMELINE_COORDS = ("epoch", "position", "trained_task", "wall_time_seconds")
UNITS = {"wall_time_seconds": "s"}


@dataclass(frozen=True)
class Extent:
    """What of a trace a reader may see.

    Parameters
    ----------
    committed, generation : int
        The commit marker: snapshots committed, and how often the trace was rolled back.
    timeline : mapping
        The columns of the timeline at the committed visits, by name; a visit is its own place in them.
    """

    committed: int
    generation: int
    timeline: Mapping[str, npt.NDArray[Any]]

    def clip(self, visit_of_sample: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Leave out the samples from the first on whose visit is missing or not committed."""
        beyond = (visit_of_sample < 0) | (visit_of_sample >= self.committed)
        return visit_of_sample[: int(np.argmax(beyond))] if beyond.any() else visit_of_sample

    def coords(self, visit: npt.NDArray[np.int64]) -> dict[str, xr.Variable]:
        """Give the coordinates of samples taken at the given visits."""
        columns = {
            name: xr.Variable("visit", values[visit], {"units": UNITS[name]} if name in UNITS else {})
            for name, values in self.timeline.items()
        }
        return {"visit": xr.Variable("visit", visit, {"long_name": "visits completed"}), **columns}


def read_extent(store: Store) -> Extent:
    """Read the marker first, and only then what it makes visible.

    Raises
    ------
    NotATraceError
        If there is no marker: the trace was never finished being made.
    """
    marker = require_marker(store)
    columns = each(
        store, lambda name: read_known(store, f"{TIMELINE}/{name}", marker.committed), TIMELINE_COORDS
    )
    return Extent(marker.committed, marker.generation, dict(zip(TIMELINE_COORDS, columns, strict=True)))


def read_known(store: Store, key: str, n_most: int | None = None) -> npt.NDArray[Any]:
    """Read the first `n_most` samples of a coordinate, all of them if None."""
    layout = read_layout(store, key)
    n_samples = layout.shape[0] if n_most is None else min(n_most, layout.shape[0])
    return StoredSeries(store, layout, n_samples)[:]
