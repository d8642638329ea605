"""The numbers of tracekit: lazy measures of training traces, and how sure they are."""

from analyses.comparisons import adjusted, effect_size
from analyses.continual import average_forgetting, backward_transfer, forward_transfer
from analyses.correction import corrected_recovery, general_learning, less_shared
from analyses.dissimilarity import rdm, rsa
from analyses.grams import gram
from analyses.inference import order_test, recovery_interval
from analyses.inputs import per_visit
from analyses.levels import level_means
from analyses.pairwise import pairwise_summary
from analyses.periods import period
from analyses.recovery import online_loss, recovery, shift_averaged_loss
from analyses.representation import cka, example_gram, procrustes
from analyses.rotation import mantel, recovery_test
from analyses.seeds import noise_ceiling, seeds_interval
from analyses.similarity import cosine, cyclicity, distance, residual_cosine, residual_gram
from analyses.statistics import statistics
from analyses.traces import gram_of
from analyses.trajectories import (
    displacement,
    effective_rank,
    path_length,
    pca,
    step_length,
    tortuosity,
    turning_angle,
)
from analyses.trends import jonckheere, kendall, page, page_test

__all__ = [
    "adjusted",
    "average_forgetting",
    "backward_transfer",
    "cka",
    "corrected_recovery",
    "cosine",
    "cyclicity",
    "displacement",
    "distance",
    "effect_size",
    "effective_rank",
    "example_gram",
    "forward_transfer",
    "general_learning",
    "gram",
    "gram_of",
    "jonckheere",
    "kendall",
    "less_shared",
    "level_means",
    "mantel",
    "noise_ceiling",
    "online_loss",
    "order_test",
    "page",
    "page_test",
    "pairwise_summary",
    "path_length",
    "pca",
    "per_visit",
    "period",
    "procrustes",
    "rdm",
    "recovery",
    "recovery_interval",
    "recovery_test",
    "residual_cosine",
    "residual_gram",
    "rsa",
    "seeds_interval",
    "shift_averaged_loss",
    "statistics",
    "step_length",
    "tortuosity",
    "turning_angle",
]
