"""What each form takes of the thread that trains: CPU time for the weights and gradients of one step.

Run `python benchmarks/forms.py`: a GPT-NeoX of 5.3 million parameters, one core, all forms in turn after each
step of the optimizer, the best of `--rounds`; the floor is to copy everything into memory that is there.
Prints the table of docs/recorders.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from recording_model import Training

from recorders.keeping import Form
from recorders.reductions import Reductions
from recorders.sketches import Sketch
from tracekit import Field, Rows

SLOW_ROUNDS = 3
FORMS: dict[str, Callable[[], Form]] = {
    "`norm` alone": lambda: Reductions(["norm"]),
    "`mean` alone": lambda: Reductions(["mean"]),
    "`min` and `max`": lambda: Reductions(["min", "max"]),
    "`std` (with the norm and the mean that it is made of)": lambda: Reductions(["std"]),
    "`absolute_mean` alone": lambda: Reductions(["absolute_mean"]),
    "reductions, the default five": Reductions,
    "`distance_from_start`": lambda: Reductions(["distance_from_start"]),
    "`update_size`": lambda: Reductions(["update_size"]),
    "`histogram`": lambda: Reductions(["histogram"]),
    "`quantiles`": lambda: Reductions(["quantiles"]),
    "sketch, k = 4,096": lambda: Sketch(4096),
    "sketch, k = 16,384": lambda: Sketch(16_384),
    "sketch, k = 65,536": lambda: Sketch(65_536),
}
KINDS = ("weights", "gradients")
FLOOR = "floor"
Tensors = dict[str, list[torch.Tensor]]
SLOW = ("`histogram`", "`quantiles`")


class Arm:
    """One form of one kind of tensors, and the row that it fills."""

    def __init__(self, make: Callable[[], Form], kind: str, shapes: dict[str, tuple[int, ...]]) -> None:
        fields = tuple(Field(name, shape) for name, shape in shapes.items())
        self.form = make()
        rows = self.form.declare(Rows(kind, fields, visits=(0, 1)), SimpleNamespace(carried={}, snapshots=0))
        self.row = np.zeros(rows.row_shape, rows.dtype)

    def fill(self, tensors: list[torch.Tensor]) -> None:
        """Fill the row."""
        self.form.fill(self.row, tensors, 0)


def main() -> None:
    """Time the forms, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=26)
    options = parser.parse_args()
    torch.set_num_threads(1)
    training = Training("5m")
    training.backward()
    named = dict(training.model.named_parameters())
    shapes = {name: tuple(parameter.shape) for name, parameter in named.items()}
    arms = {name: [Arm(make, kind, shapes) for kind in KINDS] for name, make in FORMS.items()}
    show(fastest(training, arms, options.rounds), sum(p.numel() for p in named.values()), len(named))


def fastest(training: Training, arms: dict[str, list[Arm]], n_rounds: int) -> dict[str, float]:
    """Time all arms in turn, after a round that counts for nothing: what is held against is copied in it."""
    best = dict.fromkeys([FLOOR, *arms], float("inf"))
    parameters = list(training.model.parameters())
    room = {kind: [torch.empty_like(parameter) for parameter in parameters] for kind in KINDS}
    for number in range(n_rounds + 1):
        training.backward()
        training.optimizer.step()
        tensors = {"weights": parameters, "gradients": [parameter.grad for parameter in parameters]}
        found = {FLOOR: seconds(copy, tensors, room)}
        for name, each in arms.items():
            if name not in SLOW or number <= SLOW_ROUNDS:
                found[name] = seconds(fill, each, tensors)
        if number:
            best |= {name: min(best[name], each) for name, each in found.items()}
    return best


def copy(tensors: Tensors, room: Tensors) -> None:
    """Copy into memory that is there."""
    with torch.no_grad():
        for kind in KINDS:
            torch._foreach_copy_(room[kind], tensors[kind])


def fill(arms: list[Arm], tensors: Tensors) -> None:
    """Fill the rows of a form."""
    for arm, kind in zip(arms, KINDS, strict=True):
        arm.fill(tensors[kind])


def seconds(work: Callable[..., None], *arguments: Any) -> float:
    """Give the CPU time of this thread."""
    started = time.thread_time()
    work(*arguments)
    return time.thread_time() - started


def show(best: dict[str, float], n_numbers: int, n_tensors: int) -> None:
    """Print the table."""
    floor = best.pop(FLOOR)
    print(f"{len(KINDS) * n_tensors} tensors, {len(KINDS) * n_numbers / 1e6:.1f} million numbers")
    print(f"\nthe floor: {1e3 * floor:.1f} ms\n\n| form | ms | times the floor |\n|---|---|---|")
    for name, found in best.items():
        print(f"| {name} | {1e3 * found:.3g} | {found / floor:.3g} |")


if __name__ == "__main__":
    main()
