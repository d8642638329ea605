"""What is observed of a training run, and how it gets into a trace.

Every recorder copies what it captures, says at which phase it was taken, and leaves the run as it found it:
training with recorders ends with the same bits as training without.
"""

from recorders.activations import ActivationRecorder
from recorders.base import BaseRecorder
from recorders.gradients import GradientRecorder, TaskGradientRecorder
from recorders.handed import NamedTasks
from recorders.loop import LoopTrace, record
from recorders.losses import LossRecorder
from recorders.weights import WeightRecorder

__all__ = [
    "ActivationRecorder",
    "BaseRecorder",
    "GradientRecorder",
    "LoopTrace",
    "LossRecorder",
    "NamedTasks",
    "TaskGradientRecorder",
    "WeightRecorder",
    "record",
]
