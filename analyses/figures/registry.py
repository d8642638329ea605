"""The built-in figures as plug-ins, found through the entry points `tracekit.figures`."""

from __future__ import annotations

from functools import partial

from analyses.figures import (
    by_setting,
    norms,
    online_loss,
    pairwise,
    recovery,
    representation_of_layers,
    shift_averaged,
    similarity,
    similarity_by_layer,
    similarity_of_tasks,
    task_loss,
    trajectory,
)
from analyses.figures.saving import save
from tracekit.protocols import FigureKind

_figure = partial(FigureKind, save=save)


def _similarity(heatmap: similarity.Heatmap) -> FigureKind:
    return _figure(
        f"similarity-{heatmap.kind}",
        f"{heatmap.measure} between all visits, as heatmaps with the cycle marked",
        partial(similarity.build, heatmap=heatmap),
        similarity.draw,
    )


TASK_LOSS = _figure(
    "task-loss",
    "loss of one task over training, with the visits to it marked",
    task_loss.build,
    task_loss.draw,
)

SHIFT_AVERAGED_LOSS = _figure(
    "shift-averaged-loss",
    "loss around the visits to a task, mean over tasks, a line for each round",
    shift_averaged.build,
    shift_averaged.draw,
)

ONLINE_LOSS = _figure(
    "online-loss",
    "loss on each task just before training on it, by visit and by epoch",
    online_loss.build,
    online_loss.draw,
)

RECOVERY = _figure(
    "recovery",
    "recovery score by interval, with confidence intervals over tasks",
    recovery.build,
    recovery.draw,
)

SIMILARITY_WEIGHTS = _similarity(similarity.WEIGHTS)
SIMILARITY_ACTIVATIONS = _similarity(similarity.ACTIVATIONS)
SIMILARITY_GRADIENTS = _similarity(similarity.GRADIENTS)

SIMILARITY_LAYERS = _figure(
    "similarity-layers",
    "cosine of weight residuals by lag, a line for each layer",
    similarity_by_layer.build,
    similarity_by_layer.draw,
)

SIMILARITY_TASKS = _figure(
    "similarity-tasks",
    "cosine between the gradients of all tasks at the last snapshot that has them, as heatmaps",
    similarity_of_tasks.build,
    similarity_of_tasks.draw,
)

REPRESENTATION_LAYERS = _figure(
    "representation-layers",
    "CKA between the activations of all layers at the last snapshot that has them, as heatmaps",
    representation_of_layers.build,
    representation_of_layers.draw,
)

TRAJECTORY = _figure(
    "trajectory",
    "path of the weights in their first two principal components, coloured by position in the cycle",
    trajectory.build,
    trajectory.draw,
)

TRAJECTORY_RESIDUALS = _figure(
    "trajectory-residuals",
    "the same of weights less their mean over one epoch of visits around: the cycle without drift",
    partial(trajectory.build, plane=trajectory.RESIDUALS),
    trajectory.draw,
)

NORMS = _figure(
    "norms",
    "norm of the weights over training, of all and of each tensor, relative to the first visit",
    norms.build,
    norms.draw,
)

PAIRWISE_RECOVERY = _figure(
    "pairwise-recovery",
    "what a trial visit to one task does to the loss of another, by when their turns come",
    pairwise.build,
    pairwise.draw,
)

BY_SETTING = _figure(
    "by-setting",
    "a metric of many runs against a setting, with its mean and interval over runs, by order",
    by_setting.build,
    by_setting.draw,
    options={
        "by": "The setting, model_size if not given.",
        "metric": "The number of each run, recovery if not given.",
    },
)
