"""The form of reductions: a few statistics of every tensor, in place of the tensor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from recorders import statistics
from recorders.references import References
from recorders.shards import Shards, combined, of_all
from recorders.statistics import Floats, Many
from recorders.tensors import Tensors
from tracekit.errors import ConfigurationError
from tracekit.format.schema import Field, Rows
from tracekit.plugins import suggestion
from tracekit.protocols import Run

SUFFIX = "_reductions"
STATISTICS = (
    "norm",
    "mean",
    "std",
    "min",
    "max",
    "absolute_mean",
    "quantiles",
    "histogram",
    "update_size",
    "distance_from_start",
)
NEED_REFERENCES = ("update_size", "distance_from_start")
DEFAULT = ("norm", "mean", "std", "min", "max")
N_HISTOGRAM_ARGUMENTS = 3


class Reductions:
    """Statistics of every tensor: one array for each, dims (visit[, probe or task], tensor).

    Their kind has the name of the tensors' own with `_reductions` behind it; their names label `tensor`.

    Parameters
    ----------
    statistics : sequence of str
        Among `norm` (Euclidean, √Σ x²), `mean`, `std` (divided by n), `min`, `max`, `absolute_mean`;
        `update_size`, the distance ‖x_v − x_u‖ to the visit u recorded before (NaN at the first), and
        `distance_from_start`, that to the first visit recorded, which keep a copy of the tensors each, on
        their own device (4 bytes an element, 8 for float64), and in checkpoints; `quantiles` and
        `histogram`, which sort and count all values and take 60 to 300 times as long as a norm.
    quantiles : sequence of float
        Levels from 0 to 1, linear between the two nearest values.
    histogram : (bins, from, to)
        Equal bins, the same for all tensors and visits. Stored are shares of the values; those outside are
        counted in the outermost bins.
    """

    def __init__(
        self,
        statistics: Sequence[str] = DEFAULT,
        quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
        histogram: tuple[int, float, float] = (64, -1.0, 1.0),
    ) -> None:
        self.statistics = tuple(_known(name) for name in statistics)
        self.levels = tuple(float(level) for level in quantiles)
        self.bins = tuple(histogram)
        if not all(0 <= level <= 1 for level in self.levels):
            raise ConfigurationError(
                f"keep: reductions: expected quantiles from 0 to 1, found {list(self.levels)}"
            )
        if len(self.bins) != N_HISTOGRAM_ARGUMENTS or self.bins[0] < 1 or not self.bins[1] < self.bins[2]:
            raise ConfigurationError(
                "keep: reductions: expected a histogram of [bins, from, to] with from < to, found "
                f"{list(self.bins)}"
            )

    def declare(self, full: Rows, run: Run) -> Rows:
        """Give rows of statistics."""
        self._shapes = [item.shape for item in full.fields]
        self._references = {
            name: References(run, full, name) for name in self.statistics if name in NEED_REFERENCES
        }
        labels = {"tensor": tuple(item.name for item in full.fields)}
        if "quantiles" in self.statistics:
            labels["quantile"] = tuple(f"{level:g}" for level in self.levels)
        return replace(
            full,
            group=full.group + SUFFIX,
            sources=full.fields,
            fields=tuple(self._field(name) for name in self.statistics),
            dtype="float64",
            labels=labels,
            attributes={**full.attributes, "form": "reductions", "of": full.group, **self._facts()},
        )

    def fill(self, row: npt.NDArray[np.floating], tensors: Tensors, place: int) -> None:
        """Reduce the tensors; None stands for zeros."""
        device = next((tensor.device for tensor in tensors if tensor is not None), None)
        pairs = zip(tensors, self._shapes, strict=True)
        many = [
            torch.zeros(shape, device=device) if tensor is None else _plain(tensor) for tensor, shape in pairs
        ]
        found = self._found(many, self.statistics, place)
        row[:] = np.concatenate([found[name].ravel() for name in self.statistics])

    def fill_shards(self, row: npt.NDArray[np.floating], shards: Shards, place: int) -> None:
        """Reduce what each process has, and combine.

        Raises
        ------
        ConfigurationError
            If quantiles are among the statistics.
        """
        if "quantiles" in self.statistics:
            raise ConfigurationError(
                "keep: reductions: quantiles need all values of a tensor in one process, and these are "
                "sharded over several; leave quantiles out, or take a histogram"
            )
        numbers, many = list(shards.values), [_plain(values) for values in shards.values.values()]
        names = dict.fromkeys((*self.statistics, "mean"))
        own = self._found(many, names, place) if many else {}
        own["count"] = statistics.counts(many)
        parts = of_all({name: self._placed(name, numbers, own) for name in (*names, "count")}, shards.device)
        row[:] = np.concatenate([combined(name, parts).ravel() for name in self.statistics])

    def _placed(self, name: str, numbers: list[int], own: Mapping[str, Floats]) -> Floats:
        """Give a statistic of all tensors, 0 for those of which this process has nothing."""
        placed = np.zeros((len(self._shapes),) if name == "count" else self._field(name).shape)
        if numbers:
            placed[numbers] = own[name]
        return placed

    def _found(self, many: Many, names: Collection[str], place: int) -> dict[str, Floats]:
        moments = statistics.moments(many, names)
        return {name: moments[name] if name in moments else self._other(name, many, place) for name in names}

    def _other(self, name: str, many: Many, place: int) -> Floats:
        if name == "quantiles":
            return statistics.quantiles(many, self.levels)
        if name == "histogram":
            n_bins, least, most = self.bins
            return statistics.histograms(many, int(n_bins), float(least), float(most))
        return self._references[name].distances(many, place, follow=name == "update_size")

    def _field(self, name: str) -> Field:
        n_tensors = len(self._shapes)
        if name == "quantiles":
            return Field(name, (n_tensors, len(self.levels)), "float64", ("tensor", "quantile"))
        if name == "histogram":
            return Field(name, (n_tensors, int(self.bins[0])), "float64", ("tensor", "bin"))
        return Field(name, (n_tensors,), "float64", ("tensor",))

    def _facts(self) -> dict[str, list[float]]:
        sizes = [float(np.prod(shape)) for shape in self._shapes]
        facts = {"sizes": sizes}
        return {**facts, "histogram": list(self.bins)} if "histogram" in self.statistics else facts


def _known(name: str) -> str:
    if name not in STATISTICS:
        raise ConfigurationError(
            f"keep: reductions: no statistic {name!r}{suggestion(name, list(STATISTICS))}"
        )
    return name


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Give a tensor in a precision that sums can be taken in."""
    values = tensor.detach()
    return values if values.dtype in (torch.float32, torch.float64) else values.float()
