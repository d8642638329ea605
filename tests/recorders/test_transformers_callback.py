"""The Trainer of transformers, recorded: the same trace as our own trainer's of the same run."""

import importlib
import sys

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from recorders import LossRecorder, WeightRecorder
from recorders.transformers_callback import TraceCallback
from tracekit import open_trace
from tracekit.errors import ConfigurationError
from tracekit.training.tasks.language import token_losses

EPOCHS, UPDATES = 2, 2


class Batches(torch.utils.data.Dataset):
    """The documents of an epoch in their order, each as often as it is trained."""

    def __init__(self, run):
        self.tokens = [torch.as_tensor(run.tasks.tokens(task)) for task in range(len(run.tasks.names))]

    def __len__(self):
        return UPDATES * len(self.tokens)

    def __getitem__(self, place):
        tokens = self.tokens[place // UPDATES]
        return {"input_ids": tokens, "labels": tokens}

    def task_of(self, batch):
        return next(n for n, tokens in enumerate(self.tokens) if torch.equal(tokens, batch["input_ids"][0]))


def own_loss(model):
    """Let the model compute its loss as our tasks do, which differs from transformers' in the last bit."""

    def loss(logits, labels, **settings):
        output = type("Output", (), {"logits": logits})
        return token_losses(lambda input_ids: output, labels)[0]

    model.loss_function = loss


def trainer_of(run, folder, callback, **settings):
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=1,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        train_sampling_strategy="sequential",
        **{"max_grad_norm": 1.0, "num_train_epochs": EPOCHS, **settings},
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(run.optimizer, lambda step: 1.0)
    return Trainer(
        run.model,
        arguments,
        train_dataset=Batches(run),
        optimizers=(run.optimizer, schedule),
        callbacks=[callback],
    )


@pytest.mark.parametrize("visit", [UPDATES, "task"])
def test_it_records_what_our_own_trainer_records(tmp_path, own_run, visit):
    run = own_run.prepared()
    callback = TraceCallback(
        tmp_path / "run.zarr",
        recorders=own_run.recorders(),
        visit=visit,
        task_of=Batches(run).task_of,
        tasks=run.tasks,
    )
    own_loss(run.model)
    trainer_of(run, tmp_path, callback).train()
    own_run.assert_same(tmp_path / "run.zarr")


def test_epochs_as_visits_and_accumulated_losses(tmp_path, own_run):
    run = own_run.prepared()
    callback = TraceCallback(tmp_path / "run.zarr", recorders=[LossRecorder(), WeightRecorder()])
    trainer_of(run, tmp_path, callback, gradient_accumulation_steps=2).train()

    losses = open_trace(tmp_path / "run.zarr")["losses"]
    first = own_run.prepared()
    expected = float(first.tasks.losses(first.model)[0])
    assert losses.train_loss.shape == (EPOCHS * 3,)
    np.testing.assert_allclose(losses.train_loss[0], expected, rtol=1e-5)
    weights = open_trace(tmp_path / "run.zarr")["weights"]
    assert weights.visit.values.tolist() == [0, 1, 2]
    assert weights.epoch.values.tolist() == [-1, 0, 1]
    assert losses.update_visit.values.tolist() == [1, 1, 1, 2, 2, 2]


def test_a_visit_with_several_tasks_has_none(tmp_path, own_run):
    run = own_run.prepared()
    callback = TraceCallback(
        tmp_path / "run.zarr",
        recorders=[WeightRecorder()],
        visit=3,
        task_of=Batches(run).task_of,
        tasks=run.tasks.names,
    )
    trainer_of(run, tmp_path, callback, num_train_epochs=1, max_steps=4).train()
    assert open_trace(tmp_path / "run.zarr")["weights"].trained_task.values.tolist() == [-1, -1, 1]


def test_after_an_exception_no_hook_is_left(tmp_path, own_run):
    run = own_run.prepared()
    tasks = iter([0, 0, 0])
    callback = TraceCallback(
        tmp_path / "run.zarr", recorders=[WeightRecorder()], visit=1, task_of=lambda batch: next(tasks)
    )
    trainer = trainer_of(run, tmp_path, callback)
    with pytest.raises(StopIteration), callback:
        trainer.train()
    assert not run.model._forward_hooks
    assert not run.model._forward_pre_hooks
    assert not run.optimizer._optimizer_step_pre_hooks
    trace = open_trace(tmp_path / "run.zarr")
    assert trace.attrs["status"] == "failed"
    assert trace.attrs["snapshots_committed"] == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"visit": "batch"}, "found 'batch'"), ({"visit": 0}, "found 0"), ({"visit": "task"}, "give task_of=")],
)
def test_what_a_visit_is_must_be_clear(tmp_path, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        TraceCallback(tmp_path / "run.zarr", recorders=[], **settings)


@pytest.mark.parametrize(
    ("module", "package"), [("transformers_callback", "transformers"), ("lightning_callback", "lightning")]
)
def test_a_missing_framework_is_named(monkeypatch, module, package):
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"recorders.{module}", raising=False)
    with pytest.raises(ImportError, match=f"needs the package `{package}`"):
        importlib.import_module(f"recorders.{module}")
