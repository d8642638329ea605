"""The sections `training` and `recorders` of a configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tracekit.training.orders import ORDERS, partly_shuffled
from tracekit.training.sections import (
    IN_FULL,
    Count,
    CountOrNone,
    NotNegative,
    Patterns,
    Positive,
    Section,
    Share,
    Text,
    by_kind,
)


class SGD(Section):
    """Stochastic gradient descent, `torch.optim.SGD`."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: Positive = 0.1
    momentum: Share = 0.0
    weight_decay: NotNegative = 0.0


class Adam(Section):
    """Adam, `torch.optim.Adam`: weight decay is added to the gradient."""

    kind: Literal["adam"] = "adam"
    learning_rate: Positive = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0


class AdamW(Section):
    """Adam with decoupled weight decay, `torch.optim.AdamW`."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: Positive = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.01


OptimizerSettings = Annotated[
    Annotated[SGD, Tag("kind=sgd")] | Annotated[Adam, Tag("kind=adam")] | Annotated[AdamW, Tag("kind=adamw")],
    by_kind("sgd"),
]


class TrainingSettings(Section):
    """How the tasks are trained.

    Parameters
    ----------
    order : str
        A name in `tracekit.training.orders.ORDERS`: `cyclic`, `shuffled` or `partly-shuffled`.
    n_shuffled : int, optional
        How many tasks after the first change places under `partly-shuffled`; half of all if None.
    epochs : int
        Times that every task is visited, E.
    updates_per_visit : int
        Optimizer steps of one visit, M.
    optimizer : SGD, Adam or AdamW
        The rule of an update.
    reset_optimizer : bool
        Let the optimizer forget its momentum, or moments, before every visit.
    frozen : str or list of str, optional
        Parameters that are not trained: patterns of names, see `tracekit.patterns.choose`.
    clip_grad_norm : float, optional
        Largest norm of the gradient of an update; longer ones are shortened to it.
    stop_on_nan : bool
        End the run with an error when a train loss is NaN or infinite.
    device : {"auto", "cpu", "cuda"}
        Where the model lives; `auto` is a GPU where there is one.
    threads : int, optional
        CPU threads of torch during the run; without it, torch decides.
    deterministic : bool
        Let torch refuse operations that do not repeat bit by bit.
    checkpoint_every : int, optional
        Visits between the checkpoints that a run which is cut off goes on from; none are made if None, and
        such a run is repeated from its start. A resumed run repeats at most this many visits. Beside a visit
        of ten updates of 5.8 M parameters, a checkpoint took 5 % (SGD) to 11 % (Adam, whose moments it holds)
        of the visit's time on one core: the default costs 1 to 3 %.
    """

    order: str = "cyclic"
    n_shuffled: CountOrNone | None = None
    epochs: Count = 6
    updates_per_visit: Count = 10
    optimizer: OptimizerSettings = SGD()
    reset_optimizer: bool = False
    frozen: Patterns | None = None
    clip_grad_norm: Positive | None = None
    stop_on_nan: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Count | None = None
    deterministic: bool = True
    checkpoint_every: Count | None = 4

    @field_validator("order")
    @classmethod
    def _known_order(cls, value: str) -> str:
        if value not in ORDERS:
            choices = " or ".join(repr(name) for name in ORDERS)
            raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": choices})
        return value

    @model_validator(mode="after")
    def _only_partly_shuffled_counts(self) -> Self:
        if self.n_shuffled is not None and ORDERS[self.order] is not partly_shuffled:
            raise PydanticCustomError(
                IN_FULL,
                "n_shuffled goes with the order 'partly-shuffled' alone, found the order '{order}'",
                {"order": self.order},
            )
        return self


class RecorderSettings(Section):
    """A recorder by name, and options that it alone understands."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Text

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the kind, as written."""
        return dict(self.__pydantic_extra__ or {})


Recorders = Annotated[tuple[RecorderSettings, ...], Field(strict=False)]
