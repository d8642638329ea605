"""What recording costs a training on a GPU: a GPT-NeoX of 5.3 M, 160 M or 1 B parameters.

Every arm keeps the loss of each step, and weights and gradients of each visit, which is `--every` steps. Arms
train the same model in one process and take turns for `--rounds` rounds; all must end with weights of the
same bits as without recording. Nothing is flushed to disk. Numbers are of the visits after the first:

- step: wall time of a step, mean of the best round, the wait for its loss included;
- beyond: that beyond no recording in the same round, median of rounds; of a step and of a visit;
- stall: wall time that recorders take from the thread that trains, mean of a visit, best round;
- GPU: most memory allocated on the GPU at a time, beyond that without recording;
- drain: seconds until all is written, after the last step.

Run `python benchmarks/gpu.py`: on the first GPU, with 160 M parameters, some minutes. `--size 1b --visits 2`
needs about 30 GB there, as much main memory and 25 GB of disk; `--device cpu --size 5m` needs no GPU.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from recording_arms import EVALUATION, OneTask
from recording_model import SIZES, Training

from recorders import GradientRecorder, LossRecorder, WeightRecorder, copying
from tracekit import Plan, Recording
from tracekit.protocols import Run
from tracekit.writing.buffers import plain_memory

BASELINE, FLOOR, BLOCKING = "no recording", "clone on the device", "full, each copy waited for"
KEPT: Mapping[str, Any] = {
    BLOCKING: "full",
    "full": "full",
    "bfloat16": "bfloat16",
    "reductions": "reductions",
    "sketch": "sketch",
}
ARMS = (BASELINE, FLOOR, *KEPT)
COLUMNS = ("step", "stall", "GPU", "drain")


class Nothing:
    """An arm that keeps nothing."""

    def __init__(self, training: Training, plan: Plan, folder: Path) -> None:
        self.training, self.plan = training, plan

    def before_update(self, update: Any) -> None:
        """Look at gradients."""

    def after_update(self, update: Any, loss: float) -> None:
        """Look at weights; the last update of a visit ends it."""

    def finish(self) -> None:
        """Write what is not written yet."""


class Clone(Nothing):
    """The floor: weights and gradients copied where they are."""

    def before_update(self, update: Any) -> None:
        """Copy gradients."""
        if update.index == 0:
            self.gradients = [p.grad.clone() for p in self.training.model.parameters()]

    def after_update(self, update: Any, loss: float) -> None:
        """Copy weights."""
        if update.index == self.plan.updates_per_visit - 1:
            self.weights = [p.detach().clone() for p in self.training.model.parameters()]


class Tracekit(Nothing):
    """Recorders of this project."""

    def __init__(self, training: Training, plan: Plan, folder: Path, keep: Any) -> None:
        super().__init__(training, plan, folder)
        self.recording = Recording(
            folder / "run.zarr",
            [LossRecorder(), WeightRecorder(keep=keep), GradientRecorder(keep=keep)],
            durability="rename",
            queue_bytes=training.queue_bytes,
        )
        self.recording.start(Run(training.model, training.optimizer, OneTask(), plan))
        self.recording.after_visit(plan.visit(0), EVALUATION)

    def before_update(self, update: Any) -> None:
        """Pass it on."""
        self.recording.before_update(update)

    def after_update(self, update: Any, loss: float) -> None:
        """Pass it on, and a visit that is over too."""
        self.recording.after_update(update, loss)
        if update.index == self.plan.updates_per_visit - 1:
            self.recording.after_visit(update.visit, EVALUATION)

    def finish(self) -> None:
        """Write what is not written yet."""
        self.recording.finish(None)


@contextmanager
def waiting_for_each_copy() -> Iterator[None]:
    """Copy tensors one by one into memory that is not locked, as without `recorders.copying`."""
    with (
        mock.patch.object(copying, "gpu_of", return_value=None),
        mock.patch("recorders.keeping.row_memory", return_value=plain_memory),
    ):
        yield


def measure(name: str, training: Training, plan: Plan, folder: Path) -> dict[str, Any]:
    """Train with an arm from the first weights on, and give what it cost."""
    with torch.no_grad():
        torch._foreach_copy_(list(training.model.parameters()), training.first_weights)
    synchronize, memory = device_functions(training)
    memory(reset=True)
    with waiting_for_each_copy() if name == BLOCKING else nullcontext():
        arm = made(name, training, plan, folder)
        steps, stalls = [], []
        for visit in plan.visits(1):
            for update in plan.updates(visit):
                began = time.perf_counter()
                stalls.append(step(arm, training, update))
                steps.append(time.perf_counter() - began)
        synchronize()
        began = time.perf_counter()
        arm.finish()
    drained = time.perf_counter() - began
    after_first = slice(plan.updates_per_visit, None)
    return {
        "step": 1e3 * statistics.mean(steps[after_first]),
        "stall": 1e3 * statistics.mean(stalls[after_first]) * plan.updates_per_visit,
        "GPU": memory(reset=False) / 1e6,
        "drain": drained,
        "digest": training.digest(),
    }


def step(arm: Nothing, training: Training, update: Any) -> float:
    """Make a step, and give the seconds that the arm took of the thread that trains."""
    training.backward()
    began = time.perf_counter()
    arm.before_update(update)
    stall = time.perf_counter() - began
    training.optimizer.step()
    loss = float(training.loss)  # most loops look at it, and so wait for the GPU
    began = time.perf_counter()
    arm.after_update(update, loss)
    return stall + time.perf_counter() - began


def made(name: str, training: Training, plan: Plan, folder: Path) -> Nothing:
    """Make an arm."""
    if name in KEPT:
        return Tracekit(training, plan, folder, KEPT[name])
    return (Clone if name == FLOOR else Nothing)(training, plan, folder)


def device_functions(training: Training) -> tuple[Any, Any]:
    """Give what waits for the device, and what gives the most bytes that were allocated on it."""
    if training.tokens.device.type != "cuda":
        return lambda: None, lambda reset: 0

    def memory(reset: bool) -> int:
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()

    return torch.cuda.synchronize, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", choices=SIZES, default="160m", help="parameters of the model")
    parser.add_argument("--visits", type=int, default=4)
    parser.add_argument("--every", type=int, default=10, help="steps of a visit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="arms, by the beginning of their names")
    parser.add_argument("--folder", help="where to write; the default is the system's folder for such files")
    arguments = parser.parse_args()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    training = Training(arguments.size, arguments.device)
    training.first_weights = [p.detach().clone() for p in training.model.parameters()]
    training.backward()  # memory that the training itself takes is there
    plan = Plan(np.zeros((1, arguments.visits), np.int64), n_tasks=1, updates_per_visit=arguments.every)
    arms = [name for name in ARMS if name == BASELINE or name.startswith(tuple(arguments.only or [""]))]
    rounds = [in_turn(arms, training, plan, arguments.folder) for _ in range(arguments.rounds)]
    assert len({found["digest"] for each in rounds for found in each.values()}) == 1, "trained weights differ"
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{os.cpu_count()} CPU cores"
    print(f"{where}, torch {torch.__version__}; trained weights: the same bits in every arm")
    report(rounds, arguments.every)


def in_turn(arms: list[str], training: Training, plan: Plan, folder: str | None) -> dict[str, dict[str, Any]]:
    """Measure every arm once."""
    found = {}
    for name in arms:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            found[name] = measure(name, training, plan, Path(place))
    return found


def report(rounds: list[dict[str, dict[str, Any]]], every: int) -> None:
    """Print what `main` found."""
    print(f"{'':28}{'step':>9}{'beyond':>9}{'a visit':>9}{'stall':>9}{'GPU':>9}{'drain':>8}")
    print(f"{'':28}{'ms':>9}{'ms':>9}{'ms':>9}{'ms/visit':>9}{'MB':>9}{'s':>8}")
    for name in rounds[0]:
        best = {column: min(each[name][column] for each in rounds) for column in COLUMNS}
        beyond = statistics.median(each[name]["step"] - each[BASELINE]["step"] for each in rounds)
        memory = min(each[name]["GPU"] - each[BASELINE]["GPU"] for each in rounds)
        print(
            f"{name:28}{best['step']:9.1f}{beyond:9.2f}{beyond * every:9.1f}{best['stall']:9.1f}"
            f"{memory:9.0f}{best['drain']:8.2f}"
        )


if __name__ == "__main__":
    main()
