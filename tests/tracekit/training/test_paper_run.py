"""The trainer against the numbers of the paper's own published code, from documents to recovery scores."""

import os
from pathlib import Path

import pytest

from tracekit.training import parse_configuration, prepare, train

VARIABLE = "TRACEKIT_PAPER_RUN"
BESIDE_THE_REPOSITORY = Path(__file__).parents[4] / "shared" / "data" / "paper_run"


@pytest.fixture
def paper_run() -> Path:
    folder = Path(os.environ.get(VARIABLE, BESIDE_THE_REPOSITORY))
    if not (folder / "documents.jsonl").is_file():
        pytest.fail(f"no documents.jsonl in {folder}: set {VARIABLE} to the folder of the paper's run")
    return folder


@pytest.mark.slow
def test_recovery_is_that_of_the_papers_code(paper_run, notes, recovery_by_loop):
    source = {
        "kind": "file",
        "path": str(paper_run / "documents.jsonl"),
        "text": "article",
        "held_out": "highlights",
    }
    tasks = {
        "source": source,
        "tokenizer": {"kind": "pretrained", "path": str(paper_run / "model")},
        "choice": "random",
        "choice_seed": 0,
        "n_documents": 16,
        "max_tokens": 96,
    }
    settings = {
        "tasks": tasks,
        "model": {"kind": "pretrained", "path": str(paper_run / "model")},
        "training": {
            "device": "cpu",
            "epochs": 5,
            "updates_per_visit": 10,
            "optimizer": {"learning_rate": 0.1},
        },
    }
    run = prepare(parse_configuration(settings))
    train(run, [notes])
    scores = recovery_by_loop(notes.eval_loss, run.plan.order)
    assert scores == pytest.approx([0.1653, 0.2039, 0.2914, 0.3868], abs=0.02)
