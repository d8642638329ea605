"""Checkpoints: what a run needs to go on after a visit, inside its trace.

Parameters, buffers, the state of the optimizer and what recorders carry over as safetensors; the settings of
the optimizer, the position and the checksum as JSON; nothing is pickled. Random streams need no state: the
loop seeds them anew for every update (see `tracekit.training.randomness`); other loops carry theirs (see
`recorders.random_streams`). Tensors are copied into those of a
model that was built as the configuration says, so that tied weights stay tied.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch.distributed.tensor import DTensor

from tracekit.differences import differences, listed
from tracekit.errors import ConfigurationError, DamagedTraceError, TraceError, TraceWarning
from tracekit.format.checkpoints import (
    DOCUMENT,
    TENSORS,
    checkpoint_document,
    key_of,
    read_checkpoint_document,
    usable_checkpoints,
)
from tracekit.format.codecs import checksum
from tracekit.format.marker import read_marker
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Update, Visit
from tracekit.store import Store, open_store
from tracekit.training.states import (
    model_tensors,
    optimizer_state,
    restore_model,
    restore_optimizer,
    signature,
)
from tracekit.writing.writer import TraceWriter

CARRIED = "carried/"  # begins the names of tensors that recorders carry from visit to visit


class Checkpoints:
    """A recorder that makes checkpoints; the last two are kept.

    Parameters
    ----------
    every : int
        One after this many visits, and one after the last.
    """

    def __init__(self, every: int = 1) -> None:
        self._every = every

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Take hold of the run.

        Raises
        ------
        ConfigurationError
            If its parameters are sharded over processes.
        """
        if any(isinstance(tensor, DTensor) for tensor in run.model.parameters()):
            raise ConfigurationError(
                "Checkpoints: the parameters are sharded over processes, and no process has them all; leave "
                "Checkpoints out, save and load with torch.distributed.checkpoint, and say how far the loop "
                "was with record(…, resume=True, snapshots=n)"
            )
        self._run: Run | None = run
        self._trace: TraceWriter | None = trace

    def before_update(self, update: Update) -> None:
        """Do nothing."""

    def after_update(self, update: Update, train_loss: float) -> None:
        """Do nothing."""

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Make a checkpoint, if it is time; it is durable before the visit is committed."""
        if self._run is None or self._trace is None or visit.number == 0:
            return
        if visit.number % self._every == 0 or visit.number == self._run.plan.n_visits:
            self._trace.put_checkpoint(visit.number, encode(self._run, visit.number))

    def stop(self) -> None:
        """Let go of the run."""
        self._run = self._trace = None


def encode(run: Run, number: int) -> Iterator[tuple[str, bytes]]:
    """Give the objects of a checkpoint by name, the JSON object last."""
    settings, moments = optimizer_state(run.optimizer)
    carried = {f"{CARRIED}{name}": tensor for name, tensor in run.carried.items()}
    tensors = {**model_tensors(run.model), **moments, **carried}
    data = save({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()})
    facts = {"visit": number, "model": signature(run.model), "optimizer": settings}
    yield TENSORS, data
    yield DOCUMENT, checkpoint_document(facts, data)


def restore(run: Run, path: str | PathLike[str]) -> Run:
    """Bring a run to the state of the newest checkpoint of a trace that belongs to what is committed.

    Parameters
    ----------
    run : Run
        As `prepare` gives it; its model and optimizer are changed in place.
    path : str or path
        The trace.

    Returns
    -------
    Run
        The same run, with the `snapshots` that lie behind it; 0, and the state as it was, where there is no
        checkpoint. A damaged one is passed over, with a `TraceWarning` that names it and the one taken.

    Raises
    ------
    TraceError
        If the checkpoint is of another model or optimizer; every difference is named.
    DamagedTraceError
        If its parts do not fit together, though none is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from tracekit import Recording
    >>> from tracekit.training import parse_configuration, prepare, train
    >>> path = tempfile.mkdtemp() + "/run.zarr"
    >>> settings = parse_configuration({"tasks": {"kind": "toy"}, "training": {"epochs": 1}})
    >>> train(prepare(settings), [Recording(path, [Checkpoints(every=10)])])
    >>> restore(prepare(settings), path).snapshots
    26
    """
    store = open_store(path)
    found = _newest_sound(store)
    if found is None:
        return run
    number, document, tensors = found
    carried = {
        name.removeprefix(CARRIED): tensors.pop(name) for name in list(tensors) if name.startswith(CARRIED)
    }
    _restore(run, document, tensors, f"{store.url}/{key_of(number, DOCUMENT)}")
    return replace(run, snapshots=number + 1, carried=carried)


def _newest_sound(store: Store) -> tuple[int, dict[str, Any], dict[str, torch.Tensor]] | None:
    """Read the newest checkpoint that is sound, and say which were not, and what becomes of it."""
    marker = read_marker(store)
    damaged: list[str] = []
    for number in reversed(usable_checkpoints(store, marker.committed if marker else 0)):
        try:
            document, tensors = _read(store, number)
        except DamagedTraceError as error:
            damaged.append(str(error))
        else:
            _warn(damaged, f"an older state is taken, that after visit {number}")
            return number, document, tensors
    _warn(damaged, "there is no older state, so the run begins anew and repeats what it had committed")
    return None


def _warn(damaged: list[str], then: str) -> None:
    if damaged:
        repair = "`tracekit verify RUN --repair` removes what is damaged"
        warnings.warn(f"{'; '.join(damaged)}; {then} ({repair})", TraceWarning, stacklevel=4)


def _read(store: Store, number: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    document, place = read_checkpoint_document(store, number), f"{store.url}/{key_of(number, TENSORS)}"
    data = store.get(key_of(number, TENSORS))
    if data is None:
        raise DamagedTraceError(f"{place}: missing; not a whole checkpoint")
    if document["crc32c"] != checksum(data).hex():
        raise DamagedTraceError(f"{place}: the checksum does not match")
    try:
        return document, load(data)
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedTraceError(f"{place}: cannot be read ({type(error).__name__}: {error})") from error


def _restore(run: Run, document: dict[str, Any], tensors: dict[str, torch.Tensor], place: str) -> None:
    try:
        found = list(differences(document["model"], signature(run.model), "model"))
        kind = type(run.optimizer).__name__
        found += differences(document["optimizer"]["kind"], kind, "optimizer")
        if found:
            raise TraceError(f"{place}: the checkpoint is of another model or optimizer:\n{listed(found)}")
        restore_model(run.model, tensors)
        restore_optimizer(run.optimizer, document["optimizer"], tensors)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise DamagedTraceError(
            f"{place}: the JSON object, the tensors and the model do not fit together "
            f"({type(error).__name__}: {error}); it was not written by this program: remove its folder"
        ) from error
