"""The training loop: visits tasks as planned, and tells observers of everything that happens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType

import torch

from tracekit.errors import TrainingError
from tracekit.protocols import Evaluation, Observer, Run
from tracekit.schedule import Update, Visit
from tracekit.training.loop_settings import LoopSettings, running
from tracekit.training.randomness import Stream, integer_seed, seed_torch
from tracekit.training.tasks.language import device_of


def train(run: Run, observers: Sequence[Observer] = ()) -> None:
    """Train a run from its first visit to its last, or from where its checkpoint was made.

    Every task is evaluated before training and after each visit. Clipping, seed, threads and what happens at
    a loss that is no number are those of `run.configuration`, with the defaults of `LoopSettings` where it
    says nothing. Torch's global random generators are given back as they were found.

    Parameters
    ----------
    run : Run
        Model, optimizer, tasks and plan; the model and optimizer are changed in place.
    observers : sequence of Observer
        Each is told of every event, in the order given; `finish` is called in reverse, once for every
        observer whose `start` was called, whatever happened.

    Raises
    ------
    TrainingError
        If a train loss is NaN or infinite, unless `training.stop_on_nan` is false. Observers have seen all
        visits completed before.

    Examples
    --------
    >>> from tracekit.training import parse_configuration, prepare, train
    >>> run = prepare(parse_configuration({"tasks": {"kind": "toy"}, "training": {"epochs": 1}}))
    >>> before = run.tasks.losses(run.model).mean()
    >>> train(run)
    >>> bool(run.tasks.losses(run.model).mean() < before)
    True
    """
    settings = LoopSettings.of(run.configuration)
    with running(settings, device_of(run.model)), _started(run, observers):
        _train(run, observers, settings)


def _train(run: Run, observers: Sequence[Observer], settings: LoopSettings) -> None:
    if run.snapshots == 0:
        _evaluate(run, observers, run.plan.visit(0))
    for visit in run.plan.visits(run.snapshots):
        run.model.train()
        for update in run.plan.updates(visit):
            _update(run, observers, settings, update)
        _evaluate(run, observers, visit)


def _update(run: Run, observers: Sequence[Observer], settings: LoopSettings, update: Update) -> None:
    train_loss, norm = compute_gradients(run, update, settings)
    if norm is not None:
        update = replace(update, clipped_from=norm)
    for observer in observers:
        observer.before_update(update)
    run.optimizer.step()
    for observer in observers:
        observer.after_update(update, train_loss)


def compute_gradients(run: Run, update: Update, settings: LoopSettings) -> tuple[float, float | None]:
    """Give a model the gradients of an update, as its optimizer is to use them.

    Each update has a random stream of its own: whatever observers draw, and wherever a run starts again,
    weights are the same.

    Returns
    -------
    tuple
        The train loss, and the norm before clipping; None where nothing is clipped.

    Raises
    ------
    TrainingError
        If the train loss is NaN or infinite, unless `settings.stop_on_nan` is false.
    """
    seed_torch(integer_seed(settings.seed, Stream.UPDATES, update.number), device_of(run.model))
    if settings.reset_optimizer and update.index == 0:
        run.optimizer.state.clear()
    run.optimizer.zero_grad(set_to_none=True)
    loss = run.tasks.loss(run.model, update.visit.task)
    train_loss = float(loss.detach())
    if settings.stop_on_nan and not math.isfinite(train_loss):
        raise _not_a_number(run, update, train_loss)
    torch.autograd.backward(loss)
    if settings.clip_grad_norm is None:
        return train_loss, None
    return train_loss, float(torch.nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip_grad_norm))


def _evaluate(run: Run, observers: Sequence[Observer], visit: Visit) -> None:
    evaluation = Evaluation(run.tasks.losses(run.model, "train"), run.tasks.losses(run.model, "test"))
    for observer in observers:
        observer.after_visit(visit, evaluation)


@contextmanager
def _started(run: Run, observers: Sequence[Observer]) -> Iterator[None]:
    """Start observers, and finish those that were started, in reverse, even if one of them fails."""
    with ExitStack() as stack:
        for observer in observers:
            stack.push(_finishing(observer))
            observer.start(run)
        yield


def _finishing(observer: Observer) -> Callable[..., None]:
    def finish(_: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        observer.finish(error)

    return finish


def _not_a_number(run: Run, update: Update, train_loss: float) -> TrainingError:
    visit = update.visit
    return TrainingError(
        f"update {update.number} (epoch {visit.epoch}, position {visit.position}, "
        f"task {run.tasks.names[visit.task]!r}): expected a finite train loss, found {train_loss}; the "
        f"{visit.number - 1} visits completed before are kept. Lower training.optimizer.learning_rate, set "
        "training.clip_grad_norm, or set training.stop_on_nan to false to go on regardless"
    )
