"""The trainer: tasks visited in a planned order, and everything that happens told to observers.

Needs the extra `train` (torch, transformers, pydantic); nothing else in tracekit imports it.
"""

from tracekit.errors import TrainingError
from tracekit.training.checkpoints import Checkpoints, restore
from tracekit.training.configuration import Configuration, load_configuration, parse_configuration
from tracekit.training.experiment import prepare
from tracekit.training.loop import train

__all__ = [
    "Checkpoints",
    "Configuration",
    "TrainingError",
    "load_configuration",
    "parse_configuration",
    "prepare",
    "restore",
    "train",
]
