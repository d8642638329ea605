"""What is observed of a training run, and how it gets into a trace.

Every recorder copies what it captures, says at which phase it was taken, and leaves the run as it found it:
training with recorders ends with the same bits as training without.
"""

from recorders.activation_gradients import ActivationGradientRecorder
from recorders.activations import ActivationRecorder
from recorders.base import BaseRecorder
from recorders.gradient_norms import GradientNormRecorder
from recorders.gradients import GradientRecorder, TaskGradientRecorder
from recorders.handed import NamedTasks
from recorders.learning_rate import LearningRateRecorder
from recorders.logits import LogitRecorder
from recorders.loop import record
from recorders.loop_trace import LoopTrace
from recorders.losses import LossRecorder
from recorders.optimizer_state import OptimizerStateRecorder
from recorders.pairwise_recovery import PairwiseRecoveryRecorder
from recorders.token_losses import TokenLossRecorder
from recorders.weights import WeightRecorder

__all__ = [
    "ActivationGradientRecorder",
    "ActivationRecorder",
    "BaseRecorder",
    "GradientNormRecorder",
    "GradientRecorder",
    "LearningRateRecorder",
    "LogitRecorder",
    "LoopTrace",
    "LossRecorder",
    "NamedTasks",
    "OptimizerStateRecorder",
    "PairwiseRecoveryRecorder",
    "TaskGradientRecorder",
    "TokenLossRecorder",
    "WeightRecorder",
    "record",
]
