"""Activations of chosen modules on chosen tasks, at snapshots."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch

from recorders.base import TensorRecorder
from recorders.keeping import Keep, Kept
from recorders.probes import chosen_probes
from recorders.selection import Selection, select_modules
from recorders.tensors import fields_of, row_dtype
from recorders.undisturbed import undisturbed
from tracekit.cadence_forms import WhenForm
from tracekit.errors import ConfigurationError
from tracekit.format.schema import Field, Rows
from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Visit
from tracekit.writing.writer import TraceWriter

Pool = Literal["none", "mean"]
Captured = dict[str, torch.Tensor]
Calls = dict[str, list[torch.Tensor]]


class ActivationRecorder(TensorRecorder):
    """Record what modules give on probe tasks: `activations`, dims (visit, probe, element).

    At each chosen snapshot the probes go through the model in evaluation mode. Hooks are on the chosen
    modules only, and only for that moment; what they see is copied at once. Where a module gives several
    tensors, the first is recorded, without a batch dim of one.

    Parameters
    ----------
    modules : optional
        Which modules, see `recorders.selection.Selection`; all that give tensors if None, which leaves out
        containers and what gives objects, as the outermost modules of Hugging Face models do.
    probes : sequence of int, optional
        Numbers of the tasks to probe with; the first four (or all, if fewer) if None.
    pool : {"none", "mean"}
        `"mean"` averages over all dims but the last, such as the tokens of a document.
    every, when, keep
        At which visits and in which form; see `recorders.base.TensorRecorder`.
    """

    group = "activations"
    long_name = "outputs of modules on probe tasks"

    def __init__(
        self,
        modules: Selection = None,
        probes: Sequence[int] | None = None,
        pool: Pool = "none",
        *,
        every: int | None = None,
        when: WhenForm | None = None,
        keep: Keep = "full",
    ) -> None:
        super().__init__(every, when, keep)
        if pool not in ("none", "mean"):
            raise ValueError(f"pool is 'none' or 'mean', found {pool!r}")
        self._selection = modules
        self._probes = probes
        self._pool = pool

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Run the probes once to learn the shapes, and declare a row per chosen visit."""
        self._run = run
        self._modules = select_modules(run.model, self._selection)
        self._tasks = chosen_probes(run, self._probes, self.group)
        captured = self._capture()
        self._check_silent(captured)
        self._check_shapes(captured)
        rows = Rows(
            self.group,
            tuple(self._with_calls(field) for field in fields_of(captured[0])),
            self._visits(run.plan),
            middle=("probe", tuple(run.tasks.names[task] for task in self._tasks)),
            dtype=row_dtype(captured[0].values()),
            attributes={"long_name": self.long_name, "units": self._units(run), "pool": self._pool},
        )
        self._kept = Kept(self._keep, run, trace, rows)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Run the probes."""
        if self._fires(visit.number):
            self._kept.put_parts(visit.number, (list(outputs.values()) for outputs in self._capture()))

    def stop(self) -> None:
        """Let go of the run; hooks live only while probes run."""
        super().stop()
        self._modules = {}
        vars(self).pop("_run", None)

    def _units(self, run: Run) -> str:
        return "1"

    def _hook(self, calls: list[torch.Tensor]) -> Callable[..., Any]:
        """Give the hook that adds to the tensors that are recorded of a module."""
        return _keeper(calls)

    def _look(self, task: int, seen: Calls) -> None:
        """Let a probe go through the model, and leave what is recorded in `seen`."""
        self._run.tasks.loss(self._run.model, task)

    def _capture(self) -> list[Captured]:
        """Give what is recorded of every chosen module, for every probe."""
        captured: list[Captured] = []
        with undisturbed(self._run.model), torch.no_grad(), _hooks(self._modules, self._hook) as seen:
            for task in self._tasks:
                self._look(task, seen)
                captured.append(
                    {name: self._joined(name, seen[name]) for name in self._modules if seen[name]}
                )
                self._repeated = {name for name, calls in seen.items() if len(calls) > 1}
                _forget(seen)
        return captured

    def _joined(self, name: str, calls: list[torch.Tensor]) -> torch.Tensor:
        """Give the output of a module, or those of its calls along a first axis."""
        outputs = [self._pooled(output) for output in calls]
        if len({output.shape for output in outputs}) > 1:
            raise ConfigurationError(
                f"{self.group}: {name} is called {len(calls)} times in one pass, with different shapes "
                f"{[tuple(output.shape) for output in outputs]}; choose a module around it"
            )
        return outputs[0] if len(outputs) == 1 else torch.stack(outputs)

    def _with_calls(self, field: Field) -> Field:
        return replace(field, axes=("call",)) if field.name in self._repeated else field

    def _pooled(self, output: torch.Tensor) -> torch.Tensor:
        values = output[0] if output.ndim > 1 and len(output) == 1 else output
        return values.reshape(-1, values.shape[-1]).mean(0) if self._pool == "mean" else values

    def _check_silent(self, captured: list[Captured]) -> None:
        """Leave out modules that gave no tensor, unless they were asked for."""
        silent = [name for name in self._modules if name not in captured[0]]
        if silent and self._selection is not None:
            raise ConfigurationError(
                f"{self.group}: {', '.join(silent[:3])} gave no tensor when the probes ran; leave it out"
            )
        if not captured[0]:
            raise ConfigurationError(
                f"{self.group}: of the model's {len(silent)} modules none gave a tensor when the probes ran; "
                "there is nothing to record, so leave this recorder out"
            )
        self._modules = {name: self._modules[name] for name in captured[0]}

    def _check_shapes(self, captured: list[Captured]) -> None:
        for name, first in captured[0].items():
            shapes = {tuple(outputs[name].shape) for outputs in captured}
            if len(shapes) > 1:
                raise ConfigurationError(
                    f"{self.group}: {name} gives different shapes for different probes, {sorted(shapes)} "
                    f"(first {tuple(first.shape)}); set pool: mean, or choose probes of one length"
                )


@contextlib.contextmanager
def _hooks(modules: dict[str, torch.nn.Module], make_hook: Callable[..., Any]) -> Iterator[Calls]:
    """Watch the outputs of modules while the context lasts; hooks are gone after it, whatever happened."""
    seen: Calls = {name: [] for name in modules}
    handles = [module.register_forward_hook(make_hook(seen[name])) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(output: Any) -> torch.Tensor | None:
    """Give what is recorded of a module's output: the first tensor of several; None where there is none."""
    first = output[0] if isinstance(output, tuple | list) and output else output
    return first if isinstance(first, torch.Tensor) else None


def _keeper(calls: list[torch.Tensor]) -> Callable[..., Any]:
    def keep(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            # a later in-place operation would change what the hook saw
            calls.append(tensor.detach().clone())

    return keep


def _forget(seen: Calls) -> None:
    for calls in seen.values():
        calls.clear()
