"""The built-in figures as plug-ins, found through the entry points `tracekit.figures`."""

from __future__ import annotations

from functools import partial

from analyses.figures import norms, pairwise, recovery, shift_averaged, similarity, task_loss, trajectory
from analyses.figures.saving import save
from tracekit.protocols import FigureKind


def _similarity(heatmap: similarity.Heatmap) -> FigureKind:
    return FigureKind(
        name=f"similarity-{heatmap.kind}",
        summary=f"{heatmap.measure} between all visits, as heatmaps with the cycle marked",
        build=partial(similarity.build, heatmap=heatmap),
        draw=similarity.draw,
        save=save,
    )


TASK_LOSS = FigureKind(
    name="task-loss",
    summary="loss of one task over training, with the visits to it marked",
    build=task_loss.build,
    draw=task_loss.draw,
    save=save,
)

SHIFT_AVERAGED_LOSS = FigureKind(
    name="shift-averaged-loss",
    summary="loss around the visits to a task, mean over tasks, a line for each round",
    build=shift_averaged.build,
    draw=shift_averaged.draw,
    save=save,
)

RECOVERY = FigureKind(
    name="recovery",
    summary="recovery score by interval, with confidence intervals over tasks",
    build=recovery.build,
    draw=recovery.draw,
    save=save,
)

SIMILARITY_WEIGHTS = _similarity(similarity.WEIGHTS)
SIMILARITY_ACTIVATIONS = _similarity(similarity.ACTIVATIONS)
SIMILARITY_GRADIENTS = _similarity(similarity.GRADIENTS)

TRAJECTORY = FigureKind(
    name="trajectory",
    summary="path of the weights in their first two principal components, coloured by position in the cycle",
    build=trajectory.build,
    draw=trajectory.draw,
    save=save,
)

TRAJECTORY_RESIDUALS = FigureKind(
    name="trajectory-residuals",
    summary="the same of weights less their mean over one epoch of visits around: the cycle without drift",
    build=partial(trajectory.build, plane=trajectory.RESIDUALS),
    draw=trajectory.draw,
    save=save,
)

NORMS = FigureKind(
    name="norms",
    summary="norm of the weights over training, of all and of each tensor, relative to the first visit",
    build=norms.build,
    draw=norms.draw,
    save=save,
)

PAIRWISE_RECOVERY = FigureKind(
    name="pairwise-recovery",
    summary="what a trial visit to one task does to the loss of another, by when their turns come",
    build=pairwise.build,
    draw=pairwise.draw,
    save=save,
)
