"""The numbers of tracekit: lazy measures of training traces, and how sure they are."""

from analyses.continual import average_forgetting, backward_transfer, forward_transfer
from analyses.correction import corrected_recovery, general_learning
from analyses.inference import order_test, recovery_interval
from analyses.inputs import per_visit
from analyses.pairwise import pairwise_summary
from analyses.recovery import online_loss, recovery, shift_averaged_loss
from analyses.similarity import cosine, cyclicity, distance, gram, residual_cosine
from analyses.statistics import statistics
from analyses.trajectories import displacement, pca, step_length, turning_angle

__all__ = [
    "average_forgetting",
    "backward_transfer",
    "corrected_recovery",
    "cosine",
    "cyclicity",
    "displacement",
    "distance",
    "forward_transfer",
    "general_learning",
    "gram",
    "online_loss",
    "order_test",
    "pairwise_summary",
    "pca",
    "per_visit",
    "recovery",
    "recovery_interval",
    "residual_cosine",
    "shift_averaged_loss",
    "statistics",
    "step_length",
    "turning_angle",
]
