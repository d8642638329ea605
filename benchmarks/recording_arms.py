"""Ways to keep the tensors of every step of a training run, for `recording.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
import zarr
from recording_model import Tensors, Training

from recorders import BaseRecorder, GradientRecorder, LossRecorder, WeightRecorder
from recorders.keeping import Kept
from tracekit import Field, Plan, Recording, Rows, open_trace
from tracekit.protocols import Evaluation, Run

WEIGHT = "gpt_neox.layers.3.mlp.dense_h_to_4h.weight"
EVALUATION = Evaluation(np.zeros(1), np.zeros(0))


class OneTask:
    """Random tokens, always the same."""

    names = ("tokens",)
    test_names = ()
    loss_units = "nats per token"
    fingerprints: Mapping[str, str] = MappingProxyType({})


class Arm:
    """A way to keep tensors; this one keeps nothing."""

    def start(self, training: Training, folder: Path, n_steps: int) -> None:
        """Prepare."""
        self.folder = folder
        self.n_steps = n_steps

    def before_update(self, training: Training, step: int) -> None:
        """Look at the gradients."""

    def after_update(self, training: Training, step: int) -> None:
        """Look at the new weights."""

    def finish(self) -> None:
        """Write what is not written yet."""

    def read(self) -> Any:
        """Give one weight over all steps; None where it was not kept."""


class Clone(Arm):
    """The floor: everything copied in memory, and forgotten at the next step."""

    def after_update(self, training: Training, step: int) -> None:
        """Keep the step."""
        self.kept = {name: tensor.clone() for name, tensor in training.tensors().items()}


class Files(Arm):
    """A file for each step."""

    suffix = ""

    def after_update(self, training: Training, step: int) -> None:
        """Keep the step."""
        self.save(training.tensors(), self.path(step))

    def path(self, step: int) -> Path:
        """Give the file of a step."""
        return self.folder / f"{step}{self.suffix}"

    def save(self, tensors: Tensors, path: Path) -> None:
        """Write one step."""

    def load(self, path: Path) -> Any:
        """Read the weight from one step."""

    def read(self) -> Any:
        """Read the weight of all steps."""
        return np.stack([self.load(self.path(step)) for step in range(self.n_steps)])


class Safetensors(Files):
    """With safetensors."""

    suffix = ".safetensors"

    def save(self, tensors: Tensors, path: Path) -> None:
        """Write the step."""
        safetensors.torch.save_file(tensors, path)

    def load(self, path: Path) -> Any:
        """Read the weight."""
        with safetensors.safe_open(path, "np") as file:
            return file.get_tensor(WEIGHT)


class Savez(Files):
    """With NumPy."""

    suffix = ".npz"

    def save(self, tensors: Tensors, path: Path) -> None:
        """Write the step."""
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})

    def load(self, path: Path) -> Any:
        """Read the weight."""
        return np.load(path)[WEIGHT]


class TorchSave(Files):
    """With torch."""

    suffix = ".pt"

    def save(self, tensors: Tensors, path: Path) -> None:
        """Write the step."""
        torch.save(tensors, path)

    def load(self, path: Path) -> Any:
        """Read the weight."""
        return torch.load(path, weights_only=True)[WEIGHT].numpy()


class NaiveZarr(Arm):
    """An array for each tensor, made longer at each step."""

    def start(self, training: Training, folder: Path, n_steps: int) -> None:
        """Make what is written into."""
        super().start(training, folder, n_steps)
        self.group = zarr.open_group(folder, mode="w")

    def after_update(self, training: Training, step: int) -> None:
        """Keep the step."""
        for name, tensor in training.tensors().items():
            if step == 0:
                shape = (0, *tensor.shape)
                self.group.create_array(name, shape=shape, dtype="f4", chunks=(1, *tensor.shape))
            array = self.group[name]
            array.resize((step + 1, *tensor.shape))
            array[step] = tensor.numpy()

    def read(self) -> Any:
        """Read the weight of all steps."""
        return self.group[WEIGHT][:]


class FlatZarr(Arm):
    """Rows of one array of all steps, without compression."""

    def start(self, training: Training, folder: Path, n_steps: int) -> None:
        """Make what is written into."""
        super().start(training, folder, n_steps)
        training.backward()
        sizes = {name: tensor.numel() for name, tensor in training.tensors().items()}
        before = list(sizes)[: list(sizes).index(WEIGHT)]
        self.first, self.size = sum(sizes[name] for name in before), sizes[WEIGHT]
        self.array = zarr.create_array(
            folder,
            shape=(n_steps, sum(sizes.values())),
            dtype="f4",
            chunks=(1, 1 << 18),
            compressors=None,
            config={"write_empty_chunks": True},
        )

    def after_update(self, training: Training, step: int) -> None:
        """Keep the step."""
        self.array[step] = torch.cat([tensor.reshape(-1) for tensor in training.tensors().values()]).numpy()

    def read(self) -> Any:
        """Read the weight of all steps."""
        return self.array[:, self.first : self.first + self.size]


class TensorBoard(Arm):
    """Histograms of all tensors, which is not the tensors."""

    def start(self, training: Training, folder: Path, n_steps: int) -> None:
        """Make what is written into."""
        from torch.utils.tensorboard import SummaryWriter

        super().start(training, folder, n_steps)
        self.writer = SummaryWriter(str(folder))

    def after_update(self, training: Training, step: int) -> None:
        """Keep the step."""
        for name, tensor in training.tensors().items():
            self.writer.add_histogram(name, tensor, step)

    def finish(self) -> None:
        """Write what is not written yet."""
        self.writer.close()


class HiddenRecorder(BaseRecorder):
    """Records the last hidden state of the step."""

    def __init__(self, training: Training) -> None:
        self._training = training

    def start(self, run: Run, trace: Any) -> None:
        """Declare a row per step."""
        visits = tuple(range(1, run.plan.n_visits + 1))
        rows = Rows("hidden", (Field("hidden", tuple(self._training.hidden.shape)),), visits)
        self._kept = Kept("full", run, trace, rows)

    def before_update(self, update: Any) -> None:
        """Copy the hidden state."""
        self._kept.put(update.visit.number, [self._training.hidden])


class Tracekit(Arm):
    """Recorders of this project, a visit to each step."""

    def __init__(self, codec: str, keep: Any = "full", *, hidden: bool = True) -> None:
        self._codec, self._keep, self._hidden = codec, keep, hidden

    def start(self, training: Training, folder: Path, n_steps: int) -> None:
        """Make what is written into."""
        super().start(training, folder, n_steps)
        recorders = [LossRecorder(), WeightRecorder(keep=self._keep), GradientRecorder(keep=self._keep)]
        if self._hidden:
            recorders.append(HiddenRecorder(training))
        self.plan = Plan(np.zeros((1, n_steps), np.int64), n_tasks=1, updates_per_visit=1)
        self.recording = Recording(
            folder / "run.zarr",
            recorders,
            codec=self._codec,
            durability="rename",
            queue_bytes=training.queue_bytes,
        )
        self.recording.start(Run(training.model, training.optimizer, OneTask(), self.plan))
        self.recording.after_visit(self.plan.visit(0), EVALUATION)

    def before_update(self, training: Training, step: int) -> None:
        """Keep the gradients."""
        self.update = next(self.plan.updates(self.plan.visit(step + 1)))
        self.recording.before_update(self.update)

    def after_update(self, training: Training, step: int) -> None:
        """Keep the step."""
        self.recording.after_update(self.update, float(training.loss))
        self.recording.after_visit(self.update.visit, EVALUATION)

    def finish(self) -> None:
        """Write what is not written yet."""
        self.recording.finish(None)

    def read(self) -> Any:
        """Read the weight of all steps."""
        if self._keep == "full":
            return open_trace(self.folder / "run.zarr")["weights"][WEIGHT].values
        return None


BASELINE, FLOOR, PEER = "no recording", "clone to RAM", "safetensors"
ARMS: dict[str, Callable[[], Arm]] = {
    BASELINE: Arm,
    FLOOR: Clone,
    PEER: Safetensors,
    "np.savez": Savez,
    "torch.save": TorchSave,
    "TensorBoard histograms": TensorBoard,
    "Zarr, array per tensor": NaiveZarr,
    "Zarr, one flat array": FlatZarr,
    "tracekit, none": lambda: Tracekit("none"),
    "tracekit, lz4": lambda: Tracekit("lz4"),
    "tracekit, reductions": lambda: Tracekit("lz4", "reductions", hidden=False),
    "tracekit, sketch": lambda: Tracekit("lz4", "sketch", hidden=False),
}
