"""Statistics of many tensors at once, each in as few passes over memory as there are: all (tensor,)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

Many = Sequence[torch.Tensor]
Floats = npt.NDArray[np.float64]

LARGEST_COUNT = 1 << 24
"""The largest number up to which float32 counts one by one."""

STRETCH = 1024
STRETCHES = 4
"""The norm of more elements than so many stretches of that length is that of the norms of the stretches."""

CANCELLED = 0.5
"""Above this share of the mean square, the squared mean leaves too few digits of the variance."""


def norms(tensors: Many) -> Floats:
    """Give Euclidean norms: √Σ x²."""
    return gathered(_norms(tensors))


def moments(tensors: Many, names: Iterable[str]) -> dict[str, Floats]:
    """Give those of `norm`, `mean`, `std`, `min`, `max` and `absolute_mean` that are asked for.

    In main memory all that is asked for of a tensor is computed before the next tensor: it is in the
    processor's cache then. Elsewhere few kernels see all of them.
    """
    wanted = [name for name in names if name in NEEDED]
    passes = dict.fromkeys(each for name in wanted for each in NEEDED[name])
    if not passes:
        return {}
    one_by_one = all(tensor.is_cpu for tensor in tensors)
    found = _passed([[tensor] for tensor in tensors] if one_by_one else [tensors], passes)
    for name, total in (("mean", "sum"), ("absolute_mean", "absolute_sum")):
        if total in found:
            found[name] = found[total] / counts(tensors)
    if "std" in wanted:
        found["std"] = deviations(tensors, found["mean"], found["norm"])
    return found


def _passed(groups: Iterable[Many], passes: Iterable[str]) -> dict[str, Floats]:
    """Give what passes over groups of tensors find, by name."""
    found: defaultdict[str, list[torch.Tensor]] = defaultdict(list)
    for group in groups:
        for each in passes:
            for name, scalars in PASSES[each](group).items():
                found[name] += scalars
    table = gathered([scalar for scalars in found.values() for scalar in scalars])
    return dict(zip(found, table.reshape(len(found), -1), strict=True))


def _norms(tensors: Many) -> list[torch.Tensor]:
    if all(tensor.is_cpu for tensor in tensors):
        return [_norm(tensor) for tensor in tensors]
    return list(torch._foreach_norm(list(tensors)))


def _norm(tensor: torch.Tensor) -> torch.Tensor:
    """Give a norm; in main memory that of the norms of short stretches.

    There torch adds up one square after another: in float32, the norm of 10⁷ normal numbers is off by 4·10⁻⁴,
    and that of 5·10⁷ by 4·10⁻³. The norms of stretches take no longer, and give six digits or more.
    """
    norm: Callable[..., torch.Tensor] = torch.linalg.vector_norm
    if not tensor.is_cpu or tensor.numel() <= STRETCHES * STRETCH:
        return norm(tensor)
    n_left = tensor.numel() % STRETCH
    if not n_left:  # mostly; each operation counts where tensors are many
        return _norm(norm(tensor.reshape(-1, STRETCH), dim=1))
    whole, rest = tensor.reshape(-1).split_with_sizes([tensor.numel() - n_left, n_left])
    return _norm(torch.cat([norm(whole.view(-1, STRETCH), dim=1), norm(rest)[None]]))


def _extremes(tensors: Many) -> dict[str, list[torch.Tensor]]:
    found = [torch.aminmax(tensor) for tensor in tensors]
    return {"min": [least for least, _ in found], "max": [most for _, most in found]}


PASSES: Mapping[str, Callable[[Many], dict[str, list[torch.Tensor]]]] = {
    "norm": lambda tensors: {"norm": _norms(tensors)},
    "sum": lambda tensors: {"sum": [tensor.sum() for tensor in tensors]},
    "absolute_sum": lambda tensors: {"absolute_sum": [tensor.abs().sum() for tensor in tensors]},
    "extremes": _extremes,
}
NEEDED: Mapping[str, tuple[str, ...]] = {
    "norm": ("norm",),
    "mean": ("sum",),
    "std": ("norm", "sum"),
    "min": ("extremes",),
    "max": ("extremes",),
    "absolute_mean": ("absolute_sum",),
}
"""The passes over memory that statistics are made of."""


def deviations(tensors: Many, mean: Floats, norm: Floats) -> Floats:
    """Give standard deviations, √(Σ (x − mean)² / n): from the norms wherever that is exact."""
    squares = norm**2 / counts(tensors)
    with np.errstate(invalid="ignore"):
        found = np.sqrt(np.maximum(squares - mean**2, 0))
    cancelled = np.flatnonzero(mean**2 > CANCELLED * squares).tolist()
    if cancelled:
        found[cancelled] = gathered([tensors[number].std(correction=0) for number in cancelled])
    return found


def distances(tensors: Many, references: Many) -> Floats:
    """Give Euclidean distances ‖x − r‖; differences are made one tensor at a time."""
    pairs = zip(tensors, references, strict=True)
    return gathered([_norm(tensor - reference) for tensor, reference in pairs])


def quantiles(tensors: Many, levels: Sequence[float]) -> Floats:
    """Give quantiles, dims (tensor, level), linear between the two nearest of the sorted values."""
    return np.stack([_quantiles(tensor, levels) for tensor in tensors])


def histograms(tensors: Many, n_bins: int, least: float, most: float) -> Floats:
    """Give shares of values in equal bins, dims (tensor, bin); those outside are in the outermost."""
    found = [_histogram(tensor, n_bins, least, most) for tensor in tensors]
    return np.stack(found) / counts(tensors)[:, np.newaxis]


def counts(tensors: Many) -> Floats:
    """Give numbers of elements."""
    return np.array([tensor.numel() for tensor in tensors], dtype=np.float64)


def gathered(scalars: Sequence[torch.Tensor]) -> Floats:
    """Bring scalars from one device in one transfer."""
    devices = {scalar.device for scalar in scalars}
    if len(devices) > 1:
        scalars = [scalar.cpu() for scalar in scalars]
    found: Floats = torch.stack(list(scalars)).cpu().double().numpy()
    return found


def _histogram(tensor: torch.Tensor, n_bins: int, least: float, most: float) -> Floats:
    """Count values in bins, some at a time: float32, in which torch counts, knows no larger odd number."""
    parts = torch.split(tensor.reshape(-1).clamp(least, most), LARGEST_COUNT)
    with _in_any_order():
        bins = [torch.histc(part, n_bins, least, most).cpu().double() for part in parts]
    found: Floats = torch.stack(bins).sum(0).numpy()
    return found


@contextmanager
def _in_any_order() -> Iterator[None]:
    """Let a GPU count in whatever order it likes, which torch refuses where all is to repeat bit by bit.

    Counts are whole numbers, and exact.
    """
    if not torch.are_deterministic_algorithms_enabled():
        yield
        return
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=only_warns)


def _quantiles(tensor: torch.Tensor, levels: Sequence[float]) -> Floats:
    ordered = tensor.reshape(-1).sort().values
    places = np.asarray(levels) * (len(ordered) - 1)
    below, above = np.floor(places).astype(np.int64), np.ceil(places).astype(np.int64)
    low, high = (
        ordered[torch.from_numpy(at).to(ordered.device)].cpu().double().numpy() for at in (below, above)
    )
    return np.asarray(low + (high - low) * (places - below))
