"""A small language model on real text, and what our own trainer records of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recorders import GradientRecorder, LossRecorder, WeightRecorder
from tracekit import Recording, open_trace
from tracekit.training import parse_configuration, prepare, train

SETTINGS = {
    "model": {"width": 16, "layers": 1, "heads": 2},
    "tasks": {"n_documents": 3, "max_tokens": 12, "tokenizer": {"vocabulary": 300}},
    "training": {
        "epochs": 2,
        "updates_per_visit": 2,
        "optimizer": {"kind": "adam", "learning_rate": 0.01},
        "clip_grad_norm": 1.0,
    },
}


class OwnRun:
    """The run that every loop of someone else's must repeat, to the last bit."""

    def __init__(self, folder):
        self.reference = folder / "reference.zarr"
        train(self.prepared(), [Recording(self.reference, self.recorders())])

    def prepared(self):
        return prepare(parse_configuration(SETTINGS))

    def recorders(self):
        return [LossRecorder(), WeightRecorder(), GradientRecorder()]

    def tokens(self, run, task):
        """Give the tokens of a document, dims (token,)."""
        return run.tasks.tokens(task)

    def assert_same(self, path):
        """Hold the values of two traces against each other, bit by bit."""
        expected, found = open_trace(self.reference), open_trace(path)
        assert found.attrs["status"] == "complete"
        for group in ("weights", "gradients"):
            for name, values in expected[group].data_vars.items():
                assert values.values.tobytes() == found[group][name].values.tobytes(), (group, name)
            np.testing.assert_array_equal(expected[group].visit, found[group].visit)
        for name in ("eval_loss", "train_loss", "trained_task", "epoch", "position", "update_visit"):
            np.testing.assert_array_equal(expected["losses"][name], found["losses"][name])


@pytest.fixture(scope="session")
def own_run(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield OwnRun(tmp_path_factory.mktemp("own"))
    torch.set_num_threads(threads)
