"""What analyses ask of the data they are given, checked by its shapes and coordinates alone."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np
import xarray as xr

from analyses.kernels.recovery import Integers
from tracekit.errors import AnalysisError


@dataclass(frozen=True, eq=False)
class LossMatrix:
    """Losses of every task at every visit, with what was trained when.

    Parameters
    ----------
    loss : DataArray, dims (visit, task)
        The losses; lazy or not.
    trained_task : array of int, dims (visit,)
        The task of each visit; −1 where nothing was trained.
    """

    loss: xr.DataArray
    trained_task: Integers

    @property
    def n_tasks(self) -> int:
        """Number of tasks, T."""
        return int(self.loss.sizes["task"])

    @property
    def visits(self) -> Integers:
        """Visit numbers, dims (visit,)."""
        return coordinate(self.loss, "visit")


def loss_matrix(losses: xr.Dataset, name: str) -> LossMatrix:
    """Take a loss out of the losses of a trace, checked; `test_task` is called `task`.

    Raises
    ------
    AnalysisError
        If the loss is not there, is not recorded at every visit, or does not say which task was trained.
    """
    loss = variable(losses, name)
    if "test_task" in loss.dims:
        loss = loss.rename(test_task="task")
    missing = {"visit", "task"} - set(loss.dims)
    if missing:
        raise AnalysisError(f"{name}: expected dims (visit, task), found {loss.dims}; choose a loss per task")
    require_every_visit(coordinate(loss, "visit"), name)
    trained = coordinate(loss, "trained_task")
    _require_known_tasks(trained, loss.sizes["task"], name)
    return LossMatrix(loss.transpose(..., "visit", "task"), trained)


def variable(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """Take a variable out of a Dataset; a missing one is an `AnalysisError` that names near misses."""
    if name in dataset.data_vars:
        return dataset[name]
    names = [str(known) for known in dataset.data_vars]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "; record it, or choose one of those found"
    raise AnalysisError(f"no variable {name!r}, found {', '.join(sorted(names)) or 'none'}{hint}")


def per_visit(values: xr.DataArray, update_index: int = 0) -> xr.DataArray:
    """Give one row per visit of tensors that may have been recorded at several updates of each.

    Parameters
    ----------
    values : DataArray
        Dims (update, …), as from `tracekit.flat`. Values with dims (visit, …) are given back as they are.
    update_index : int
        Which update of each visit, from 0.

    Returns
    -------
    DataArray, dims (visit, …)
        Lazy if the values are. Visits without such an update are left out.

    Raises
    ------
    AnalysisError
        If no update of that index was recorded, or the values do not say which update they are from.

    Examples
    --------
    >>> coords = {"update": [0, 1, 2, 3], "update_visit": ("update", [1, 1, 2, 2])}
    >>> coords |= {"update_index": ("update", [0, 1, 0, 1])}
    >>> rows = xr.DataArray([[1.0], [2.0], [3.0], [4.0]], coords, ("update", "element"))
    >>> per_visit(rows, 1).sel(visit=2).values
    array([4.])
    """
    if "update" not in values.dims:
        return values
    indices = coordinate(values, "update_index")
    chosen = values.isel(update=np.flatnonzero(indices == update_index))
    if indices.size and not chosen.size:
        found = ", ".join(map(str, sorted(set(indices.tolist()))))
        raise AnalysisError(
            f"{values.name}: recorded at updates of index {found}, not {update_index}; choose one of those"
        )
    chosen = chosen.rename(update_visit="visit").swap_dims(update="visit")
    return chosen.reset_coords(["update", "update_index"], drop=True)


def coordinate(array: xr.DataArray, name: str) -> Integers:
    """Give an integer coordinate that is in memory.

    Raises
    ------
    AnalysisError
        If it is missing, or is a lazy array, which cannot be looked at without computing.
    """
    if name not in array.coords:
        found = ", ".join(str(known) for known in array.coords) or "none"
        raise AnalysisError(
            f"{array.name}: expected a coordinate {name!r}, found {found}; take it from an opened trace"
        )
    found_coordinate = array.coords[name]
    if found_coordinate.chunks is not None:
        raise AnalysisError(
            f"{array.name}: coordinate {name!r} is lazy; load it first, "
            f"as in data.assign_coords({name}=data[{name!r}].compute())"
        )
    return np.asarray(found_coordinate.values, dtype=np.int64)


def require_draws(name: str, n_draws: int, seed: int, *, usual: int = 9999) -> None:
    """Raise `AnalysisError` unless there is a number of random draws, and a seed, that can be used."""
    if n_draws < 1:
        raise AnalysisError(f"{name}: expected 1 or more, found {n_draws}; {usual} is usual")
    if seed < 0:
        raise AnalysisError(f"seed: expected 0 or more, found {seed}")


def require_every_visit(visits: Integers, name: str) -> None:
    """Raise `AnalysisError` unless the visit numbers go up one by one."""
    gaps = np.flatnonzero(np.diff(visits) != 1)
    if gaps.size:
        gap = gaps[0]
        raise AnalysisError(
            f"{name}: expected a value at every visit, found visit {visits[gap]} "
            f"followed by {visits[gap + 1]} ({visits.size} visits in all); record it after every visit"
        )


def _require_known_tasks(trained: Integers, n_tasks: int, name: str) -> None:
    if trained.size and trained.max() >= n_tasks:
        raise AnalysisError(
            f"{name}: trained_task names task {trained.max()}, found {n_tasks} tasks (0 … {n_tasks - 1}); "
            "a loss of held-out tasks needs one of them for each trained task"
        )


REDUCTIONS, SKETCH = "_reductions", "_sketch"
"""End the names of kinds that hold tensors in another form."""


def recorded(trace: xr.DataTree) -> list[str]:
    """Give the names of the kinds that a trace holds, losses among them."""
    return sorted(str(name) for name in trace.children)


def as_recorded(trace: xr.DataTree, kind: str, form: str) -> str:
    """Give the name of a kind if it was recorded in full, or else in another form; in full if neither was.

    Examples
    --------
    >>> as_recorded(xr.DataTree.from_dict({"/weights_sketch": xr.Dataset()}), "weights", SKETCH)
    'weights_sketch'
    """
    return kind if kind in trace.children or kind + form not in trace.children else kind + form
