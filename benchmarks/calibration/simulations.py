"""Simulated runs in which nothing recovers, or as much as is known, and what is said of each.

Losses are autocorrelated curves, as those of one run are: a first-order autoregression for each task, another
one that all tasks share, forgetting of a size of its own for each task.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import signal

from analyses.kernels import comparisons, representation, rotation, seeds, trends
from analyses.kernels.inference import Resampling, difference_of_scores, recovery_interval
from analyses.kernels.recovery import (
    interval_losses,
    intervals,
    recovery_score,
    share_recovered,
    visits_of_tasks,
)
from analyses.kernels.similarity import cosine, double_center, gram, residual_gram, window_average

Floats = npt.NDArray[np.float64]
Row = Callable[[np.random.Generator, int], "bool | float"]

LEVEL = 0.05


def autoregression(rng: np.random.Generator, shape: tuple[int, ...], memory: float) -> Floats:
    """Give stationary curves of variance 1 along the last axis, correlated by `memory` from step to step."""
    steps = rng.standard_normal(shape) * np.sqrt(1 - memory**2)
    steps[..., 0] /= np.sqrt(1 - memory**2)
    return np.asarray(signal.lfilter([1.0], [1.0, -memory], steps, axis=-1))


class Losses:
    """Simulated losses of a cyclic run that forgets at once and recovers nothing, dims (visit, task)."""

    def __init__(
        self, rng: np.random.Generator, n_tasks: int, n_epochs: int, memory: float, shared_noise: float = 0.0
    ) -> None:
        self.trained = np.concatenate([[-1], np.tile(np.arange(n_tasks), n_epochs)])
        own = autoregression(rng, (n_tasks, self.trained.size), memory)
        shared = autoregression(rng, (self.trained.size,), memory)
        noise = 0.15 * own + shared_noise * shared
        forgetting = rng.gamma(16, 1 / 16, n_tasks)
        self.loss = (1 + forgetting[:, np.newaxis] * (1 + noise)).T
        rows = np.arange(1, self.trained.size)
        self.loss[rows, self.trained[1:]] = 1.0  # what was just trained
        self.starts, self.ends = intervals(visits_of_tasks(self.trained, n_tasks))

    def parts(self, *, less_shared: bool = False) -> Floats:
        """Give losses after a visit, before the next, and at the peak, dims (part, interval, task)."""
        loss = rotation.less_shared(self.loss, self.trained) if less_shared else self.loss
        after, before, peak, _ = interval_losses(loss, self.starts, self.ends)
        return np.stack([after, before, peak]).swapaxes(1, 2)

    def rotation_test(self, n_resamples: int, seed: int) -> tuple[Floats, ...]:
        """Give what the rotation test gives."""
        return rotation.recovery_test(
            self.loss,
            trained_task=self.trained,
            starts=self.starts,
            ends=self.ends,
            n_resamples=n_resamples,
            seed=seed,
        )

    def task_scores(self) -> Floats:
        """Give the score of each task in each interval, dims (task, interval)."""
        after, before, peak = self.parts()
        return share_recovered(after, before, peak).T

    def score(self) -> float:
        """Give the mean score of the run."""
        return float(recovery_score(*self.parts()).mean())


def within_run(n_tasks: int, memory: float, *, interval: int | None = None, shared: float = 0.0) -> Row:
    """Rotation test of recovery, pooled or of one interval."""

    def reject(rng: np.random.Generator, seed: int) -> bool:
        run = Losses(rng, n_tasks, 4, memory, shared)
        _, p_values, _, _, pooled, _ = run.rotation_test(199, seed)
        return bool((pooled if interval is None else p_values[interval]) <= LEVEL)

    return reject


def any_interval(adjust: Callable[[Floats], Floats]) -> Row:
    """Rotation tests of five intervals, adjusted: whether any of them rejects."""

    def reject(rng: np.random.Generator, seed: int) -> bool:
        run = Losses(rng, 16, 6, 0.8)
        return bool((adjust(run.rotation_test(399, seed)[1]) <= LEVEL).any())

    return reject


def of_orders(
    n_tasks: int, memory: float, *, paired: bool = True, shared: float = 0.0, less_shared: bool = True
) -> Row:
    """Permutation test of one run against another of the same kind, what tasks share taken off or not."""

    def reject(rng: np.random.Generator, seed: int) -> bool:
        losses = [Losses(rng, n_tasks, 2, memory, shared) for _ in range(2)]
        runs = [each.parts(less_shared=less_shared) for each in losses]
        resampling = Resampling(n_resamples=199, seed=seed)
        return difference_of_scores(*runs, paired=paired, resampling=resampling)[-1] <= LEVEL

    return reject


def orders_interval(n_tasks: int, memory: float, *, shared: float) -> Row:
    """Interval of the difference between two runs of the same kind, what tasks share taken off."""

    def holds(rng: np.random.Generator, seed: int) -> bool:
        runs = [Losses(rng, n_tasks, 2, memory, shared).parts(less_shared=True) for _ in range(2)]
        resampling = Resampling(n_resamples=499, seed=seed)
        _, low, high, _ = difference_of_scores(*runs, paired=True, resampling=resampling)
        return low <= 0 <= high

    return holds


def page(n_tasks: int, memory: float) -> Row:
    """Page's test over five intervals."""

    def reject(rng: np.random.Generator, seed: int) -> bool:
        return bool(trends.page(Losses(rng, n_tasks, 6, memory).task_scores())[1] <= LEVEL)

    return reject


def over_runs(test: Callable[[Floats, Floats, int], Floats]) -> Row:
    """Test the scores of 12 runs against the size of the model, three sizes."""

    def reject(rng: np.random.Generator, seed: int) -> bool:
        scores = np.array([Losses(rng, 8, 3, 0.8).score() for _ in range(12)])
        return bool(test(scores, np.repeat([1.0, 2.0, 4.0], 4), seed) <= LEVEL)

    return reject


def mann_whitney(n_tasks: int, memory: float) -> Row:
    """Mann and Whitney's test of the tasks of two runs."""

    def reject(rng: np.random.Generator, seed: int) -> bool:
        first, second = (Losses(rng, n_tasks, 2, memory).task_scores()[:, 0] for _ in range(2))
        return bool(comparisons.mann_whitney(first, second)[1] <= LEVEL)

    return reject


def mantel(memory: float, n_elements: int, *, residual: bool = True) -> Row:
    """Mantel's test of the cosines of two paths; they wander without bounds for a memory of 1."""

    def reject(rng: np.random.Generator, seed: int) -> bool:
        first, second = (_cosine(rng, memory, n_elements, residual=residual) for _ in range(2))
        return bool(rotation.mantel(first, second)[1] <= LEVEL)

    return reject


def _cosine(rng: np.random.Generator, memory: float, n_elements: int, *, residual: bool) -> Floats:
    n_visits, window = 97, 16
    if memory == 1:
        path = rng.standard_normal((n_visits, n_elements)).cumsum(axis=0)
    else:
        path = autoregression(rng, (n_elements, n_visits), memory).T
    if not residual:
        return cosine(double_center(gram(path)))
    average = window_average(np.arange(n_visits), window)
    return cosine(residual_gram(gram(path), average))


def representations(kernel: Callable[[Floats], Floats]) -> Row:
    """Null of shuffled pairs for two representations of 16 examples that share nothing."""

    def reject(rng: np.random.Generator, seed: int) -> bool:
        one, other = (kernel(gram(rng.standard_normal((16, 64)))[np.newaxis]) for _ in range(2))
        return bool(representation.with_null(one, other, n_permutations=99, seed=seed)[-1] <= LEVEL)

    return reject


def tasks_interval(n_tasks: int, method: str) -> Row:
    """Interval of a recovery score over the tasks of one run."""
    many = [Losses(np.random.default_rng(seed), n_tasks, 2, 0.8).parts()[:, 0] for seed in range(4000)]
    truth = recovery_score(*np.concatenate(many, axis=-1))

    def holds(rng: np.random.Generator, seed: int) -> bool:
        parts = Losses(rng, n_tasks, 2, 0.8).parts()[:, 0]
        resampling = Resampling(n_resamples=999, seed=seed, method=method)
        low, high = recovery_interval(*parts, np.ones(n_tasks, dtype=bool), resampling=resampling)
        return bool(low <= truth <= high)

    return holds


def seeds_interval(n_seeds: int, ratio: float, *, of_tasks: float = 0.0) -> Row:
    """Interval over seeds and tasks; seeds differ by `ratio` times what their tasks make them differ by.

    Tasks are other ones in each seed, but for a standard deviation of their scores that all seeds share.
    """
    n_tasks, spread = 16, 0.1

    def parts(rng: np.random.Generator) -> tuple[Floats, ...]:
        of_seed = ratio * spread / np.sqrt(n_tasks) * rng.standard_normal((n_seeds, 1))
        share = 0.3 + of_seed + spread * autoregression(rng, (n_seeds, n_tasks), 0.0)
        share += of_tasks * rng.standard_normal(n_tasks)
        return np.zeros(share.shape), 1 - share, np.ones(share.shape)

    def holds(rng: np.random.Generator, seed: int) -> bool:
        counted = np.ones((n_seeds, n_tasks), dtype=bool)
        settings = {"confidence": 0.95, "n_resamples": 999, "seed": seed}
        _, low, high = seeds.hierarchical_interval(*parts(rng), counted, **settings)
        return bool(low <= 0.3 <= high)

    return holds
