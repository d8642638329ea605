"""Put results where they are kept, and find them again."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import asdict

import xarray as xr

from tracekit.derived.datasets import read_dataset, write_dataset
from tracekit.derived.identity import Identity, read_identity
from tracekit.derived.places import entries, prepare, remove
from tracekit.errors import TraceError, TraceWarning
from tracekit.format.layout import DERIVED
from tracekit.store import Store


def find(stores: Sequence[Store], wanted: Identity) -> xr.Dataset | None:
    """Give a result from the first place that has it whole."""
    for store in stores:
        with contextlib.suppress(TraceError):
            return read_dataset(store, f"{DERIVED}/{wanted.key}")
    return None


def find_earlier(stores: Sequence[Store], wanted: Identity) -> xr.Dataset | None:
    """Give a result of the same code and parameters, whatever of the data there was."""
    for store in stores:
        for group in _family(store, wanted):
            with contextlib.suppress(TraceError):
                if read_identity(store, group).code == wanted.code:
                    return read_dataset(store, group)
    return None


def keep(stores: Sequence[Store], wanted: Identity, result: xr.Dataset) -> None:
    """Keep a result in the first place that takes it, and remove those that it replaces."""
    problems = []
    for store in stores:
        try:
            prepare(store)
            write_dataset(store, f"{DERIVED}/{wanted.key}", result, {"identity": asdict(wanted)})
            _remove_older(store, wanted)
        except OSError as error:
            problems.append(f"{store.url}: {error}")
        else:
            return
    warnings.warn(f"{wanted.name} could not be kept: {'; '.join(problems)}", TraceWarning, stacklevel=3)


def _remove_older(store: Store, wanted: Identity) -> None:
    for group in _family(store, wanted):
        if group != f"{DERIVED}/{wanted.key}":
            remove(store, group)


def _family(store: Store, wanted: Identity) -> list[str]:
    """List what is kept of the same name, parameters and runs."""
    return [group for group in entries(store) if group.startswith(f"{DERIVED}/{wanted.family}-")]
