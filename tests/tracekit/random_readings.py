"""Ways to read what was opened, held bit by bit against the same done to arrays in memory."""

import math

import dask
import numpy as np
import xarray as xr

from tracekit import flat, load

CLOCKS = ("wall_time_seconds", "update_wall_time_seconds")  # which nobody can foresee
TOGETHER = (load, xr.Dataset.compute, lambda node: dask.compute(node)[0])


def check_opened(trace, known, rng):
    """Hold an opened trace against what it must give, read in random ways and parts."""
    for name, expected in known.items():
        found = trace[name].to_dataset()
        read = TOGETHER[rng.integers(len(TOGETHER))]
        for _ in range(rng.integers(3)):  # what was selected is selected from once more
            found, expected = _selected(found, expected, rng)
        _same(read(found), expected)
        if rng.random() < 0.3:
            _check_alone(found, expected, rng)
        if "/" in name and rng.random() < 0.5:
            _check_some_columns(trace, name.removesuffix("/flat"), known, rng)


def _check_alone(found, expected, rng):
    """Read one variable: as values, at single points, and as something that was computed of it."""
    name = str(rng.choice([*expected.data_vars]))
    one, known = found[name], expected[name]
    _same_values(one.values, known.values)
    _same_values((-one.T).compute().values, (-known.T).values)
    if known.size:
        _check_together(one, known, rng)
        n_points = int(rng.integers(1, 5))
        points = {
            dim: xr.DataArray(rng.integers(-size, size, n_points), dims="point")
            for dim, size in known.sizes.items()
        }
        _same_values(one.isel(points).values, known.isel(points).values)


def _check_together(one, known, rng):
    """Compute of two parts at once."""
    parts = [{dim: int(rng.integers(size)) for dim, size in known.sizes.items()} for _ in range(2)]
    dim = next(iter(known.dims), None)
    parts += [{dim: slice(place, place + 1)} for place in range(2)] if dim else []
    found = dask.compute(*(-one.isel(part) for part in parts))
    for part, values in zip(parts, found, strict=True):
        _same_values(values.values, (-known.isel(part)).values)


def _check_some_columns(trace, kind, known, rng):
    """Read some tensors of flat rows together."""
    names = [str(name) for name in known[kind].data_vars]
    chosen = [name for name in names if rng.random() < 0.6] or names[-1:]
    parts = [known[kind][name].values for name in chosen]
    lead = known[f"{kind}/flat"]["values"].shape[:-1]
    expected = np.concatenate(
        [part.reshape(*lead, math.prod(part.shape[len(lead) :])) for part in parts], axis=-1
    )
    found = flat(trace, kind, chosen)
    _same_values(found.values, expected)
    columns = _some(expected.shape[-1], rng)
    _same_values(found.isel(element=columns).values, expected[..., columns])


def _selected(found, expected, rng):
    """Select the same of both, by place or by label."""
    dims = [dim for dim in expected.sizes if rng.random() < 0.7]
    places = {dim: _some(expected.sizes[dim], rng) for dim in dims}
    if rng.random() < 0.3:
        labels = {
            dim: expected[dim].values[place]
            for dim, place in places.items()
            if dim in expected.indexes and expected.indexes[dim].is_unique and not isinstance(place, slice)
        }
        return found.sel(labels), expected.sel(labels)
    return found.isel(places), expected.isel(places)


def _some(size, rng):
    """Choose places of a dim: a stretch, in steps, backwards; a list in any order, with repeats; or one."""
    way = rng.integers(5 if size else 2)
    first, last = sorted(rng.integers(-1, size + 2, 2).tolist())
    if way == 0:
        return slice(max(0, first), last)
    if way == 1:
        step = int(rng.choice([-3, -2, -1, 2, 3]))
        return slice(None if rng.random() < 0.5 else int(rng.integers(-size, size + 1)), None, step)
    if way == 2:
        return rng.integers(-size, size, rng.integers(0, size + 2))
    if way == 3:
        return np.sort(rng.integers(0, size, rng.integers(1, 4)))
    return int(rng.integers(-size, size))


def _same(found, expected):
    """Hold Datasets against each other: names, dims, types, and every bit."""
    assert {*found.variables} - {*CLOCKS} == {*expected.variables}
    for name, variable in expected.variables.items():
        assert found[name].dims == variable.dims, name
        _same_values(found[name].values, variable.values)


def _same_values(found, expected):
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if found.dtype == object:
        np.testing.assert_array_equal(found, expected)
    elif found.tobytes() != expected.tobytes():
        bits = f"u{found.dtype.itemsize}"
        same = np.ascontiguousarray(found).view(bits) == np.ascontiguousarray(expected).view(bits)
        raise AssertionError(f"other bits at {np.argwhere(~same)[:5].tolist()} of {found.shape}")
