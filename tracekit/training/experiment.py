"""From a configuration to a run that is ready to be trained."""

from __future__ import annotations

from functools import partial

import torch

from tracekit.errors import ConfigurationError
from tracekit.protocols import Run
from tracekit.schedule import Plan
from tracekit.training.configuration import Configuration
from tracekit.training.freezing import freeze
from tracekit.training.models import build_model
from tracekit.training.optimizers import build_optimizer
from tracekit.training.orders import ORDERS, partly_shuffled
from tracekit.training.randomness import Stream, generator, integer_seed, own_torch_streams, seed_torch
from tracekit.training.tasks.building import build_tasks
from tracekit.training.training_settings import TrainingSettings

CPU = torch.device("cpu")


def prepare(configuration: Configuration) -> Run:
    """Load data, tokenizer and model, and plan the visits. Nothing is trained yet.

    Runs with the same seed share tasks and initial weights, whatever their order.

    Parameters
    ----------
    configuration : Configuration
        See `load_configuration`.

    Returns
    -------
    Run
        Its `configuration` is the resolved one: every setting, defaults included.

    Raises
    ------
    ConfigurationError
        If something that the configuration names is not there, or does not fit the rest.

    Examples
    --------
    >>> from tracekit.training import parse_configuration
    >>> run = prepare(parse_configuration({"tasks": {"kind": "toy"}, "training": {"epochs": 2}}))
    >>> run.plan.n_visits, run.tasks.names[0]
    (50, 'task-0')
    """
    seed, training = configuration.seed, configuration.training
    device = choose_device(training.device)
    tasks = build_tasks(configuration.tasks, seed)
    with own_torch_streams(CPU):
        seed_torch(integer_seed(seed, Stream.MODEL), CPU)
        model = build_model(configuration.model, tasks)
    model.to(device)
    if training.frozen is not None:
        freeze(model, training.frozen)
    plan = make_plan(training, n_tasks=len(tasks.names), seed=seed)
    optimizer = build_optimizer(training.optimizer, model)
    return Run(model, optimizer, tasks, plan, configuration=configuration.resolved())


def make_plan(training: TrainingSettings, *, n_tasks: int, seed: int) -> Plan:
    """Plan which task is visited when.

    Examples
    --------
    >>> make_plan(TrainingSettings(epochs=2), n_tasks=3, seed=0).order
    array([[0, 1, 2],
           [0, 1, 2]])
    """
    order = ORDERS[training.order]
    if training.n_shuffled is not None:
        order = partial(partly_shuffled, n_shuffled=training.n_shuffled)
    table = order(n_tasks, training.epochs, generator(seed, Stream.ORDER))
    return Plan(table, n_tasks=n_tasks, updates_per_visit=training.updates_per_visit)


def choose_device(name: str) -> torch.device:
    """Give the device of a name; `auto` is a GPU where there is one.

    Raises
    ------
    ConfigurationError
        If a GPU is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigurationError("training.device: expected a CUDA device, found none; use 'cpu' or 'auto'")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
