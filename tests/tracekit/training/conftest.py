"""What the tests of the trainer share: observers that take notes, tiny models on disk, and no network."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import huggingface_hub
import numpy as np
import pytest
from transformers import AutoModelForCausalLM, GPT2Config, set_seed

from tracekit.protocols import Evaluation, Run
from tracekit.schedule import Update, Visit
from tracekit.training import parse_configuration, prepare
from tracekit.training.tasks.tokenization import train_byte_pairs

TEXTS = [f"Document {name} says that {name} is {name} and nothing but {name}." for name in "abcdefgh"]

# two tasks of a tiny model: the settings of a run of less than a second
TINY = {
    "tasks": {"max_tokens": 12, "n_documents": 3, "tokenizer": {"vocabulary": 260}},
    "model": {"layers": 1, "width": 8, "heads": 2},
    "training": {"epochs": 2, "updates_per_visit": 2, "device": "cpu"},
}


@dataclass
class Notes:
    """An observer that writes down every event, and the numbers it is told."""

    events: list[str] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    eval_loss: list[np.ndarray] = field(default_factory=list)
    test_loss: list[np.ndarray] = field(default_factory=list)
    errors: list[BaseException | None] = field(default_factory=list)

    def start(self, run: Run) -> None:
        self.events.append("start")

    def before_update(self, update: Update) -> None:
        self.events.append(f"before {update.number}")

    def after_update(self, update: Update, train_loss: float) -> None:
        self.events.append(f"after {update.number}")
        self.train_loss.append(train_loss)

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        self.events.append(f"visit {visit.number}")
        self.eval_loss.append(evaluation.eval_loss)
        self.test_loss.append(evaluation.test_loss)

    def finish(self, error: BaseException | None) -> None:
        self.events.append("finish")
        self.errors.append(error)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def new_notes():
    """The class, for tests that need several."""
    return Notes


@pytest.fixture
def tiny():
    """Prepare a tiny run, with dotted keys laid over its settings."""

    def prepare_tiny(*overrides: str) -> Run:
        return prepare(parse_configuration(TINY, overrides=overrides))

    return prepare_tiny


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Path:
    """A tokenizer of Hugging Face on disk."""
    folder = tmp_path / "tokenizer"
    train_byte_pairs(TEXTS, vocabulary=270).save_pretrained(folder)
    return folder


@pytest.fixture
def gpt2_folder(tmp_path: Path) -> Path:
    """A tiny GPT-2 on disk: not a GPT-NeoX, with tied embeddings and dropout."""
    folder = tmp_path / "gpt2"
    set_seed(0)
    config = GPT2Config(vocab_size=270, n_positions=32, n_embd=8, n_layer=1, n_head=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def texts() -> list[str]:
    return TEXTS


@pytest.fixture
def recovery_by_loop():
    """Recovery scores by an obvious loop over intervals and tasks."""

    def recovery(eval_loss: Any, order: np.ndarray) -> list[float]:
        trained = order.ravel().tolist()
        scores = []
        for interval in range(len(order) - 1):
            peaks, befores, afters = [], [], []
            for task in range(order.shape[1]):
                visits = [number for number, which in enumerate(trained, 1) if which == task]
                a, b = visits[interval], visits[interval + 1]
                losses = [eval_loss[visit][task] for visit in range(a, b)]
                peaks.append(max(losses))
                befores.append(losses[-1])
                afters.append(losses[0])
            scores.append((np.mean(peaks) - np.mean(befores)) / (np.mean(peaks) - np.mean(afters)))
        return scores

    return recovery
