"""How runs differ: their configurations, flattened, as coordinates along the dim `run`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

Facts = Mapping[str, Any]
NOT_SETTINGS = (
    "configuration",
    "created",
    "damaged",
    "gaps",
    "generation",
    "metadata_crc32c",
    "model_signature",
    "path",
    "run_id",
    "snapshots_committed",
    "status",
    "task_fingerprints",
)
"""Attributes of a trace that do not say how the run was set up, or are shown by other names."""
_SIZES = re.compile(r"\[([\d, ]*)\]")


def run_coordinates(facts: Sequence[Facts], taken: Iterable[str] = ()) -> dict[str, xr.Variable]:
    """Give coordinates along `run`: what is always there, and every setting that differs between the runs.

    Always: `model_size` (number of parameters), `optimizer`, `seed`, `order`, `status`,
    `snapshots_committed` and `path`. Settings are named by their place in the configuration, with dots:
    `training.optimizer.learning_rate`. Numbers are numbers, NaN where a run lacks them; anything else is
    text, empty where a run lacks it. A setting whose name is among `taken` is called `configuration.…`.
    """
    always: dict[str, list[Any]] = {
        "model_size": [model_size(each) for each in facts],
        "optimizer": [_first(each, "training.optimizer.kind", "optimizer") or "" for each in facts],
        "seed": [_first(each, "seed") for each in facts],
        "order": [_first(each, "order", "training.order") or "" for each in facts],
        **{name: [each.get(name) for each in facts] for name in ("status", "snapshots_committed", "path")},
    }
    differing = differences([settings(each) for each in facts])
    occupied = {*taken, *always}
    named = {f"configuration.{name}" if name in taken else name: found for name, found in differing.items()}
    values = {**always, **{name: found for name, found in named.items() if name not in occupied}}
    return {name: xr.Variable("run", column(found)) for name, found in values.items()}


def settings(facts: Facts) -> dict[str, Any]:
    """Give all settings of a run, flat: those of its configuration, and what else its attributes say.

    Examples
    --------
    >>> settings({"configuration": {"training": {"epochs": 3}}, "order": "cyclic", "run_id": "f00"})
    {'order': 'cyclic', 'training.epochs': 3}
    """
    others = {name: value for name, value in facts.items() if name not in NOT_SETTINGS}
    return {**dict(_flattened(others)), **dict(_flattened(facts.get("configuration", {})))}


def differences(all_settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Give the values of every setting that is not the same in all runs, None where a run lacks it."""
    names = dict.fromkeys(name for each in all_settings for name in each)
    values = {name: [each.get(name) for each in all_settings] for name in names}
    return {name: found for name, found in values.items() if any(value != found[0] for value in found)}


def model_size(facts: Facts) -> int | None:
    """Count the parameters of a model by its signature; None where the trace has none.

    Examples
    --------
    >>> model_size({"model_signature": {"weight": "float32[3, 4]", "scale": "float32[]"}})
    13
    """
    signature = facts.get("model_signature")
    if not isinstance(signature, Mapping) or not signature:
        return None
    sizes = (_SIZES.search(str(tensor)) for tensor in signature.values())
    return sum(math.prod(int(n) for n in found[1].split(",") if n.strip()) for found in sizes if found)


def column(values: Sequence[Any]) -> npt.NDArray[Any]:
    """Give values as one array: whole numbers, numbers with NaN for None, or texts.

    Examples
    --------
    >>> column([1, 2]), column([0.5, None]), column(["sgd", None]).tolist()
    (array([1, 2]), array([0.5, nan]), ['sgd', ''])
    """
    if all(isinstance(value, bool) for value in values):
        return np.array(values)
    if all(value is None or type(value) in (int, float) for value in values):
        filled = [math.nan if value is None else value for value in values]
        return np.array(filled if any(value is not None for value in values) else [math.nan] * len(filled))
    return np.array([_text(value) for value in values], dtype=object)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _first(facts: Facts, *names: str) -> Any:
    """Give the first of some settings that a run has."""
    found = settings(facts)
    return next((found[name] for name in names if found.get(name) is not None), None)


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
