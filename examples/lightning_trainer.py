"""Record Lightning's Trainer: an epoch over a few documents is a visit.

Run `pip install lightning` first, then `python examples/lightning_trainer.py lightning.zarr`.
"""

import sys

import lightning
import torch
from own_loop import documents, small_model

from recorders import LossRecorder, WeightRecorder
from recorders.lightning_callback import TraceCallback
from tracekit import open_trace


class Documents(lightning.LightningModule):
    """A small GPT-2 that learns documents."""

    def __init__(self) -> None:
        super().__init__()
        self.model = small_model()

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        """Give the loss of a batch of documents."""
        return self.model(input_ids=batch, labels=batch).loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Choose the optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def main(path: str) -> None:
    callback = TraceCallback(
        path, recorders=[LossRecorder(), WeightRecorder(select="*attn*")], overwrite=True
    )
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=4,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(Documents(), torch.utils.data.DataLoader(list(documents().values()), num_workers=0))

    trace = open_trace(path)
    print("train loss of every update:", trace["losses"].train_loss.values.round(2))
    print("epochs:", trace["weights"].epoch.values)
    print("tensors:", len(trace["weights"].data_vars))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "lightning.zarr")
