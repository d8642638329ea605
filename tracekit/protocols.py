"""What the parts of tracekit ask of one another, and of anyone who brings a part of their own.

The trainer calls an `Observer`; a `Recorder` is what a recording drives and what writes into a trace; an
`Analysis` turns traces into a lazy Dataset; a `Metric` gives
a number for each of many runs; a `FigureKind` turns traces into a picture. Models, optimizers and losses are
torch objects, which this module must not know: their type here is `Any`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr

from tracekit.schedule import Plan, Update, Visit

Split = Literal["train", "test"]


class TaskSet(Protocol):
    """The tasks of a run: documents, or anything else with a loss."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the trained tasks, all different."""

    @property
    def test_names(self) -> tuple[str, ...]:
        """Names of the held-out tasks; empty where there are none."""

    @property
    def loss_units(self) -> str:
        """Units of every loss, such as `"nats per token"`."""

    @property
    def fingerprints(self) -> Mapping[str, str]:
        """SHA-256 of the content of each trained task, by name."""

    def loss(self, model: Any, task: int, split: Split = "train") -> Any:
        """Mean loss of one task: a differentiable scalar tensor."""

    def losses(self, model: Any, split: Split = "train") -> npt.NDArray[np.float64]:
        """Mean loss of every task of a split, without gradients, dims (task,)."""


class TokenTaskSet(TaskSet, Protocol):
    """Tasks that are sequences of tokens; what some recorders ask of them besides."""

    def token_losses(self, model: Any) -> Any:
        """Loss of every token of every trained task: a tensor, dims (task, token), padded with NaN."""

    def logits(self, model: Any, task: int) -> Any:
        """Logits of one trained task: a tensor, dims (token, vocabulary)."""


@dataclass(frozen=True)
class Evaluation:
    """Losses of every task at one snapshot, dims (task,) and (test_task,)."""

    eval_loss: npt.NDArray[np.float64]
    test_loss: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """A run as its observers see it. They must leave the model, optimizer and random streams as found.

    `carried` holds tensors, by name, that observers must know again when the run goes on from a checkpoint.
    `snapshots` says how many snapshots lie behind it: 0 for a new run; a run that goes on from a checkpoint
    after visit v has v + 1 of them, and begins with visit v + 1.
    """

    model: Any
    optimizer: Any
    tasks: TaskSet
    plan: Plan
    configuration: Mapping[str, Any] = field(default_factory=dict)
    snapshots: int = 0
    carried: dict[str, Any] = field(default_factory=dict)


class Observer(Protocol):
    """Is told of everything that happens in a run, in this order."""

    def start(self, run: Run) -> None:
        """Prepare. Called once, before the first evaluation."""

    def before_update(self, update: Update) -> None:
        """See gradients in place, and weights not yet changed."""

    def after_update(self, update: Update, train_loss: float) -> None:
        """See weights changed; `train_loss` was taken before the change."""

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """See a snapshot. Called first for visit 0, before any training."""

    def finish(self, error: BaseException | None) -> None:
        """Clean up. Always called once, with the error that ended the run if one did."""


class Recorder(Protocol):
    """Records one kind of thing into a trace: an observer that is handed the writer.

    `start` declares what will be written and may install hooks; `stop` removes them, may be called twice, and
    is called whatever happened. A recorder may be started again after it was stopped: where a trace is to be
    replaced, recorders declare to a writer that only counts first.
    """

    def start(self, run: Run, trace: Any) -> None:
        """Declare arrays at the writer `trace` (a `tracekit.TraceWriter`) and install hooks."""

    def before_update(self, update: Update) -> None:
        """See gradients in place, and weights not yet changed."""

    def after_update(self, update: Update, train_loss: float) -> None:
        """See weights changed."""

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """See a snapshot; the visit is committed when every recorder has returned."""

    def stop(self) -> None:
        """Remove every hook."""


@dataclass(frozen=True)
class Report:
    """What an analysis says in words and numbers.

    Parameters
    ----------
    numbers : dict
        Plain numbers, lists and texts by name, ready for JSON. NaN stands for "not defined".
    columns, rows
        The same as a table for people.
    title, notes
        A heading, and sentences below the table: what was tested, on which unit, what is missing and why.
    """

    numbers: dict[str, Any]
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Analysis:
    """An analysis as a plug-in.

    Parameters
    ----------
    name, summary : str
        What it is called, and one line on what it tells.
    build : callable
        `build(*traces, **options)` gives a lazy Dataset; nothing is computed. Options are its keyword-only
        parameters, each annotated and with a default.
    report : callable
        Gives the `Report` of the Dataset that `build` gave, once it has been computed.
    options : mapping
        One line of help for each option of `build`.
    n_traces : tuple of int
        Fewest and most traces it takes; None: as many as there are.
    one_order : bool
        Whether a mean over them makes sense only if all are of one order, cyclic or shuffled; the command
        line refuses others.
    details : str
        Paragraphs for `--help`: what is told, for tests the null hypothesis, and what is replicated.
    examples : sequence of str
        What follows the name on command lines that `--help` shows: `"run.zarr --json"`.
    """

    name: str
    summary: str
    build: Callable[..., xr.Dataset]
    report: Callable[[xr.Dataset], Report]
    options: Mapping[str, str] = field(default_factory=dict)
    n_traces: tuple[int, int | None] = (1, 1)
    one_order: bool = False
    details: str = ""
    examples: Sequence[str] = ()


@dataclass(frozen=True)
class Metric:
    """A number for each run, as a plug-in, for tables over many runs.

    Parameters
    ----------
    name, summary : str
        What it is called, and one line on what it tells.
    measure : callable
        Takes the node `kind` of what `open_traces` gives, and gives a Dataset with the dim `run`. Metrics
        that name the same function share its result.
    number : callable
        Takes that Dataset, computed, and gives a DataArray with the one dim `run`; NaN for "not defined".
    kind : str
        The kind of thing recorded that it needs.
    doubtful : callable, optional
        Takes the same as `number`, and says for each run, dims (run,), whether its number may mislead.
    warning : str
        Why that is, and what to do; said wherever such a number is shown.
    """

    name: str
    summary: str
    measure: Callable[[xr.Dataset], xr.Dataset]
    number: Callable[[xr.Dataset], xr.DataArray]
    kind: str = "losses"
    doubtful: Callable[[xr.Dataset], xr.DataArray] | None = None
    warning: str = ""


@dataclass(frozen=True)
class FigureKind:
    """A figure as a plug-in.

    Parameters
    ----------
    name, summary : str
        What it is called (also the name of its files), and one line on what it shows.
    build : callable
        `build(traces)`, with traces by label, gives a lazy Dataset that holds every number of the picture.
        Raises `AnalysisError`, saying what is missing, where the traces cannot give it. Options are its
        keyword-only parameters: texts, each with a default.
    draw : callable
        `draw(dataset)` turns the computed Dataset into a matplotlib Figure and computes nothing.
    save : callable
        `save(figure, directory, name, formats)` writes the Figure into files and gives their paths.
    options : mapping
        One line of help for each option of `build`. A figure with options is drawn only where it is asked
        for by name.
    """

    name: str
    summary: str
    build: Callable[..., xr.Dataset]
    draw: Callable[[xr.Dataset], Any]
    save: Callable[[Any, Path, str, Sequence[str]], Sequence[Path]]
    options: Mapping[str, str] = field(default_factory=dict)
