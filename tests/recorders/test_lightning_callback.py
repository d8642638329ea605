"""Lightning's Trainer, recorded: the same trace as our own trainer's of the same run."""

import lightning
import numpy as np
import pytest
import torch

from recorders import LossRecorder, WeightRecorder
from recorders.lightning_callback import TraceCallback
from tracekit import open_trace
from tracekit.errors import ConfigurationError

EPOCHS, UPDATES = 2, 2


class Module(lightning.LightningModule):
    """Our model and tasks as a Lightning module; a batch is the number of a task."""

    def __init__(self, run):
        super().__init__()
        self.run, self.model = run, run.model

    def training_step(self, batch, batch_idx):
        return self.run.tasks.loss(self.model, int(batch))

    def configure_optimizers(self):
        return self.run.optimizer


class ManualModule(Module):
    """The same with a loop of its own inside."""

    def __init__(self, run):
        super().__init__(run)
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.run.tasks.loss(self.model, int(batch)))
        self.clip_gradients(optimizer, 1.0, "norm")
        optimizer.step()


class Inner(TraceCallback):
    """Records the model inside the module, so that names are those of the model."""

    def on_train_start(self, trainer, pl_module):
        super().on_train_start(trainer, pl_module.model)


def fit(run, folder, callback, module=Module, **settings):
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **settings,
    )
    batches = [task for task in range(len(run.tasks.names)) for _ in range(UPDATES)]
    trainer.fit(module(run), torch.utils.data.DataLoader(batches, batch_size=None))


pytestmark = pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")


@pytest.mark.parametrize("visit", [UPDATES, "task"])
@pytest.mark.parametrize("manual", [False, True])
def test_it_records_what_our_own_trainer_records(tmp_path, own_run, visit, manual):
    run = own_run.prepared()
    callback = Inner(
        tmp_path / "run.zarr", recorders=own_run.recorders(), visit=visit, task_of=int, tasks=run.tasks
    )
    if manual:
        fit(run, tmp_path, callback, ManualModule)
    else:
        fit(run, tmp_path, callback, gradient_clip_val=1.0)
    own_run.assert_same(tmp_path / "run.zarr")


def test_epochs_as_visits_and_accumulated_losses(tmp_path, own_run):
    run = own_run.prepared()
    callback = TraceCallback(tmp_path / "run.zarr", recorders=[LossRecorder(), WeightRecorder()])
    fit(run, tmp_path, callback, accumulate_grad_batches=2)

    trace = open_trace(tmp_path / "run.zarr")
    first = own_run.prepared()
    expected = float(first.tasks.losses(first.model)[0])
    assert trace["losses"].train_loss.shape == (EPOCHS * 3,)
    np.testing.assert_allclose(trace["losses"].train_loss[0], expected, rtol=1e-5)
    assert trace["weights"].epoch.values.tolist() == [-1, 0, 1]
    assert all(name.startswith("model.") for name in trace["weights"].data_vars)


class Failing(Module):
    def training_step(self, batch, batch_idx):
        if batch_idx == 3:
            raise RuntimeError("no more light")
        return super().training_step(batch, batch_idx)


def test_after_an_exception_no_hook_is_left(tmp_path, own_run):
    run = own_run.prepared()
    callback = TraceCallback(tmp_path / "run.zarr", recorders=[WeightRecorder()], visit=1)
    with pytest.raises(RuntimeError, match="no more light"):
        fit(run, tmp_path, callback, Failing)
    assert not run.optimizer._optimizer_step_pre_hooks
    trace = open_trace(tmp_path / "run.zarr")
    assert trace.attrs["status"] == "failed"
    assert trace.attrs["snapshots_committed"] == 4


def test_an_optimizer_that_is_not_there(tmp_path, own_run):
    callback = TraceCallback(tmp_path / "run.zarr", recorders=[WeightRecorder()], optimizer=1)
    with pytest.raises(ConfigurationError, match="expected one of the 1 of the module, found 1"):
        fit(own_run.prepared(), tmp_path, callback)
