"""The form of a sketch: few numbers per visit from which inner products between visits can be estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from recorders.count_sketch import TABLE, CountSketch
from recorders.shards import Shards, added_up
from recorders.tensors import Tensors
from tracekit.errors import ConfigurationError
from tracekit.format.schema import Field, Rows
from tracekit.protocols import Run

SUFFIX = "_sketch"
Per = Literal["model", "tensor"]
MOST_SEEDS = 1 << 61  # each has four streams of random words
AXES = ("component",)


class Sketch:
    """A count-sketch of every row: see `recorders.count_sketch`, which states the error.

    Its kind has the name of the tensors' own with `_sketch` behind it. Whatever follows from inner products
    between visits (cosines, distances, principal components, …) is computed from it as from the tensors.

    Parameters
    ----------
    components : int
        Components k, of 4 bytes each. The standard error of a cosine is at most 1/√k: 0.008 for 16,384.
    seed : int
        Decides the projection. Runs to be compared with each other need the same one, and the same tensors.
    per : {"model", "tensor"}
        One sketch of all tensors together, which is the sum of theirs; or one of each, by its name, whose
        Gram matrices add up to that of the whole. Then a tensor of at most k elements is kept as it is.

    Examples
    --------
    >>> rows = Rows("weights", (Field("w", (300, 200)), Field("b", (300,))), visits=(0, 1))
    >>> sketch = Sketch(components=1024, per="tensor")
    >>> [field.shape for field in sketch.declare(rows, run=None).fields]
    [(1024,), (300,)]
    """

    def __init__(self, components: int = 16_384, seed: int = 0, per: Per = "model") -> None:
        if components < 1 or not 0 <= seed < MOST_SEEDS or per not in ("model", "tensor"):
            raise ConfigurationError(
                "keep: sketch: expected components from 1, a seed from 0 to below 2**61 and per 'model' or "
                f"'tensor', found components {components}, seed {seed}, per {per!r}"
            )
        self.components, self.seed, self.per = components, seed, per

    def declare(self, full: Rows, run: Run) -> Rows:
        """Give rows of components."""
        self._sizes = [field.size for field in full.fields]
        self._sketch = CountSketch(self._sizes, self.components, self.seed)
        facts = {
            "kind": "count-sketch",
            "components": self.components,
            "seed": self.seed,
            "table": TABLE * self.components,
            "per": self.per,
            "tensors": [{"name": field.name, "size": field.size} for field in full.fields],
        }
        return replace(
            full,
            group=full.group + SUFFIX,
            sources=full.fields,
            fields=self._fields(full.fields),
            dtype="float32",
            attributes={**full.attributes, "form": "sketch", "of": full.group, "sketch": facts},
        )

    def fill(self, row: npt.NDArray[np.floating], tensors: Tensors, place: int) -> None:
        """Sketch the tensors; None adds nothing."""
        present = {number: tensor for number, tensor in enumerate(tensors) if tensor is not None}
        if self.per == "model":
            row[:] = self._sketch(present).numpy()
        else:
            self._fill_each(torch.from_numpy(row).zero_(), present, {})

    def fill_shards(self, row: npt.NDArray[np.floating], shards: Shards, place: int) -> None:
        """Sketch what each process has, and add up: sketches are linear."""
        if self.per == "model":
            own = self._sketch(shards.values, shards.starts)
        else:
            own = torch.zeros(row.shape, dtype=torch.from_numpy(row).dtype)
            self._fill_each(own, shards.values, shards.starts)
        row[:] = added_up(own, shards.device).numpy()

    def _fields(self, fields: Sequence[Field]) -> tuple[Field, ...]:
        if self.per == "model":
            return (Field("all", (self.components,), axes=AXES),)
        self._widths = [min(self.components, field.size) for field in fields]
        return tuple(
            Field(field.name, (width,), field.dtype, AXES)
            for field, width in zip(fields, self._widths, strict=True)
        )

    def _fill_each(
        self, target: torch.Tensor, tensors: Mapping[int, torch.Tensor], starts: Mapping[int, int]
    ) -> None:
        for number, part in enumerate(torch.split(target, self._widths)):
            if number in tensors:
                self._fill_one(part, number, tensors[number], starts.get(number, 0))

    def _fill_one(self, target: torch.Tensor, number: int, tensor: torch.Tensor, start: int) -> None:
        """Sketch one tensor, or put it where it belongs if it is kept as it is."""
        if self._sizes[number] > self.components:
            target.copy_(self._sketch({number: tensor}, {number: start}))
        else:
            target[start : start + tensor.numel()] = tensor.detach().reshape(-1)
