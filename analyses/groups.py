"""Which tensors are taken together: each by itself, those of a layer, those of a kind of module, or all."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr

from tracekit.errors import AnalysisError

By = Literal["model", "layer", "group", "parameter"]
Places = dict[str, list[int]]

SIGNS = {
    "attention": r"\w*attention|\w*attn",
    "mlp": r"mlp|ffn|feed_forward|fc\d*|linear\d+|intermediate|(?<!attention\.)output",
    "embeddings": r"embed_(in|tokens|positions)|wte|wpe|\w*embeddings?|patch_embed|cls_token|conv_proj",
    "head": r"lm_head|embed_out|classifier|score|heads?",
}
"""Names of modules that tell what a tensor belongs to, the first that is found in its name."""

NORM = re.compile(r"(^|[._])(\w*norm\w*|ln\d*|ln_\w+)($|\.)", re.IGNORECASE)
LAYER = re.compile(r"^(.*?\.)?\d+(?=\.|$)")
PARAMETER = re.compile(r"\.[^.]*(weight|bias)[^.]*$")
OTHER = "other"


def grouped(names: Sequence[str], by: By) -> Places:
    """Give the places of names by what is taken together, in order of their first appearance.

    Examples
    --------
    >>> names = ["embed_in.weight", "layers.0.attention.bias", "layers.0.mlp.bias", "layers.1.mlp.bias"]
    >>> grouped(names, "layer")
    {'embed_in': [0], 'layers.0': [1, 2], 'layers.1': [3]}
    >>> grouped(names, "group")
    {'embeddings': [0], 'attention': [1], 'mlp': [2, 3]}
    """
    label = LABELS[by]
    places: Places = {}
    for place, name in enumerate(names):
        places.setdefault(label(name), []).append(place)
    return places


def stretches(values: xr.DataArray, by: By) -> dict[str, list[tuple[int, int]]]:
    """Give the stretches (start, stop) along `element` of flat values that are taken together, by label.

    Raises
    ------
    AnalysisError
        If nothing says which names the values have.
    """
    if "fields" not in values.attrs or "element" not in values.dims:
        raise AnalysisError(
            f"{values.name or 'array'}: by={by!r} needs the names of what is in it; "
            "give flat values as from tracekit.flat, or a Dataset of named variables"
        )
    fields = values.attrs["fields"]
    sizes = [math.prod(field["shape"]) for field in fields]
    ends = np.cumsum(sizes).tolist()
    places = grouped([field["name"] for field in fields], by)
    return {label: [(ends[n] - sizes[n], ends[n]) for n in each] for label, each in places.items()}


def parts_of(values: xr.DataArray, by: By) -> dict[str, xr.DataArray]:
    """Cut flat values along `element` into what is taken together, by label.

    Raises
    ------
    AnalysisError
        If nothing says which names the values have.

    Examples
    --------
    >>> fields = [{"name": "layers.0.mlp", "shape": [2]}, {"name": "layers.1.mlp", "shape": [1]}]
    >>> values = xr.DataArray([[1, 2, 3]], dims=("visit", "element"), attrs={"fields": fields})
    >>> {label: part.values.tolist() for label, part in parts_of(values, "layer").items()}
    {'layers.0': [[1, 2]], 'layers.1': [[3]]}
    """
    found = {}
    for label, each in stretches(values, by).items():
        cut = [values.isel(element=slice(start, stop)) for start, stop in each]
        found[label] = cut[0] if len(cut) == 1 else xr.concat(cut, "element")
    return found


def layer_of(name: str) -> str:
    """Name the layer of a tensor: up to the first number in its name, or its module where there is none.

    Examples
    --------
    >>> layer_of("gpt_neox.layers.3.attention.dense.weight"), layer_of("gpt_neox.final_layer_norm.bias")
    ('gpt_neox.layers.3', 'gpt_neox.final_layer_norm')
    """
    found = LAYER.match(name)
    return found.group() if found else PARAMETER.sub("", name)


def group_of(name: str) -> str:
    """Name the kind of module that a tensor belongs to: that of norms wherever they are, or by its `SIGNS`.

    Examples
    --------
    >>> group_of("h.0.attn.c_proj.weight"), group_of("h.0.ln_1.bias"), group_of("rotary.inv_freq")
    ('attention', 'norms', 'other')
    """
    if NORM.search(name):
        return "norms"
    found = (group for group, sign in SIGNS.items() if re.search(rf"(^|\.)({sign})($|\.)", name))
    return next(found, OTHER)


LABELS: Mapping[By, Callable[[str], str]] = {
    "model": lambda name: "model",
    "layer": layer_of,
    "group": group_of,
    "parameter": str,
}
