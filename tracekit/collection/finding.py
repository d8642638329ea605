"""Which traces are meant by paths, URLs and globs, and what their runs are called."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracekit.errors import TraceNotFoundError
from tracekit.store import open_store

WILDCARDS = frozenset("*?[")
AnyPath = str | os.PathLike[str]


def find_traces(paths: AnyPath | Sequence[AnyPath]) -> list[str]:
    """Give the paths of traces, each once, in the order given; what a glob finds is sorted.

    Parameters
    ----------
    paths : path or sequence of path
        Paths, URLs or globs, such as `"runs/*.zarr"`, `"runs/**/*.zarr"` or `"s3://bucket/runs/*.zarr"`.

    Raises
    ------
    TraceNotFoundError
        If a glob finds nothing, or no path is given.

    Examples
    --------
    >>> find_traces(["b.zarr", "a.zarr", "b.zarr"])
    ['b.zarr', 'a.zarr']
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found = list(dict.fromkeys(path for each in given for path in matching(os.fspath(each))))
    if not found:
        raise TraceNotFoundError("no path of a trace was given; name some, such as 'runs/*.zarr'")
    return found


def matching(path: str) -> list[str]:
    """Give the sorted paths that a glob matches, or a path as it is.

    Raises
    ------
    TraceNotFoundError
        If a glob matches nothing.
    """
    if not WILDCARDS & set(path) or ("://" not in path and os.path.lexists(path)):
        return [path]
    found = sorted(_below(path) if "://" in path else _in_folders(path))
    if not found:
        raise TraceNotFoundError(f"{path}: nothing is there that matches; check the folder and the pattern")
    return found


def _in_folders(pattern: str) -> Iterator[str]:
    anchor = Path(pattern).anchor
    return map(str, Path(anchor).glob(pattern.removeprefix(anchor)))


def _below(url: str) -> Iterator[str]:
    """Give the objects of a store that match a URL with wildcards, level by level."""
    parts = url.split("/")
    place = next(number for number, part in enumerate(parts) if WILDCARDS & set(part))
    start, pattern, rest = "/".join(parts[:place]), parts[place], parts[place + 1 :]
    for name in open_store(start).children():
        if fnmatch.fnmatchcase(name, pattern):
            found = "/".join((start, name, *rest))
            yield from _below(found) if WILDCARDS & set("/".join(rest)) else (found,)


def run_names(paths: Sequence[str]) -> list[str]:
    """Call each run by its file without ending, or by as much of its path as tells all apart.

    Examples
    --------
    >>> run_names(["runs/a.zarr", "runs/b.zarr"])
    ['a', 'b']
    >>> run_names(["x/a.zarr", "y/a.zarr"])
    ['x/a', 'y/a']
    """
    parts = [path.rstrip("/").removesuffix(".zarr").split("/") for path in paths]
    for n_parts in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-n_parts:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return list(paths)
