"""Measures that are kept, taken from there, and extended by new visits: digests of what was read decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from tracekit.derived.identity import identity
from tracekit.derived.places import places
from tracekit.derived.storing import find_earlier, keep
from tracekit.measures import Measure, kept_by
from tracekit.reading.digests import row_digests
from tracekit.reading.lazy import is_stored

Compute = Callable[[xr.Dataset], xr.Dataset]
DIGEST = "digest"
"""Coordinate of what is kept: a digest of the stored values of each visit."""


@dataclass
class Keeping:
    """Keeps measures, and says which it kept."""

    compute: Compute
    fresh: bool
    kept: list[str] = field(default_factory=list)

    def __call__(self, measure: Measure, trace: xr.DataTree, options: Mapping[str, Any]) -> xr.Dataset:
        """Give a measure as it is kept, extended or computed where it has to be."""
        values = measure.values(trace, **options)
        wanted = identity(measure.name, options, measure.build, [trace])
        data = values.variable.data
        if not (wanted.code and is_stored(data)):
            return measure.build(values, None, 0, **options)
        self.kept.append(measure.name)
        stores = places(trace.attrs["path"], trace.attrs["run_id"])
        digests = np.array(row_digests(data.stored), object)
        known = None if self.fresh else find_earlier(stores, wanted)
        n_known = 0 if known is None else _n_same(known[DIGEST].values, digests)
        built = measure.build(values, known if n_known else None, n_known, **options)
        if known is not None and n_known == digests.size == known[DIGEST].size:
            return built
        result = self.compute(built)
        keep(stores, wanted, result.assign_coords({DIGEST: (values.dims[0], digests)}))
        return result


@contextmanager
def keep_measures(compute: Compute = xr.Dataset.compute, *, fresh: bool = False) -> Iterator[Keeping]:
    """Keep the measures that are asked for within the block, with their traces; take those that are kept.

    With a measure is kept a digest of each visit that was read. What it says of visits whose digests are
    still the same, from the first one on, is taken; the rest is computed.

    Parameters
    ----------
    compute : callable
        Turns a lazy Dataset into one in memory.
    fresh : bool
        Compute even what is kept, and keep it anew.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit import open_trace
    >>> from tracekit.measures import Measure, measured
    >>> from tracekit.testing.written import write_example_trace
    >>> path = write_example_trace(tempfile.mkdtemp() + "/run.zarr")
    >>> def total(values, known, n_known):
    ...     return values.sum("element").to_dataset(name="total")
    >>> sums = Measure("sums", lambda trace: trace["weights/flat"]["values"], total)
    >>> with keep_measures():
    ...     found = measured(sums, open_trace(path))
    >>> found["total"].chunks is None
    True
    """
    session = Keeping(compute, fresh)
    with kept_by(session):
        yield session


def _n_same(earlier: npt.NDArray[Any], now: npt.NDArray[Any]) -> int:
    """Count how many are the same, from the first one on."""
    n_both = min(earlier.size, now.size)
    return int(np.append(earlier[:n_both] != now[:n_both], True).argmax())
