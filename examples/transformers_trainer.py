"""Record the Trainer of Hugging Face transformers: visits of five updates, each on one document.

Run `python examples/transformers_trainer.py trainer.zarr`.
"""

import sys
import tempfile

from own_loop import documents, small_model
from transformers import Trainer, TrainingArguments

from recorders import GradientRecorder, LossRecorder, WeightRecorder
from recorders.transformers_callback import TraceCallback
from tracekit import open_trace

UPDATES_PER_VISIT, EPOCHS = 5, 3


def main(path: str) -> None:
    texts = documents()
    tokens = [text for text in texts.values() for _ in range(UPDATES_PER_VISIT)]
    callback = TraceCallback(
        path,
        recorders=[LossRecorder(), WeightRecorder(), GradientRecorder(select="*attn*")],
        visit="task",
        task_of=lambda batch: next(name for name, text in texts.items() if text.equal(batch["input_ids"][0])),
        tasks=list(texts),
        overwrite=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=EPOCHS,
            learning_rate=1e-3,
            per_device_train_batch_size=1,
            train_sampling_strategy="sequential",
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        data = [{"input_ids": text, "labels": text} for text in tokens]
        trainer = Trainer(small_model(), arguments, train_dataset=data, callbacks=[callback])
        with callback:
            trainer.train()

    losses = open_trace(path)["losses"]
    for task, name in enumerate(texts):
        visits = losses.visit.values[losses.trained_task.values == task]
        trained = [float(losses.train_loss[losses.update_visit.values == visit].mean()) for visit in visits]
        print(f"{name}: train loss {', '.join(f'{loss:.2f}' for loss in trained)}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "trainer.zarr")
