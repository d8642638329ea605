"""The trainer against the numbers of the paper's own published code, at a size for every day."""

from pathlib import Path

import numpy as np
import pytest

from tracekit.training import load_configuration, prepare, train

DATA = Path(__file__).parents[2] / "data" / "paper_run_micro"

CONFIGURATION = f"""
tasks: {{kind: tokens, path: "{DATA}/tokens.npz", train: train_tokens, held_out: test_tokens}}
model: {{kind: pretrained, path: "{DATA}"}}
training:
  device: cpu
  epochs: 4
  updates_per_visit: 5
  optimizer: {{kind: sgd, learning_rate: 0.3}}
"""


def test_losses_are_those_of_the_papers_code(tmp_path, notes, recovery_by_loop):
    file = tmp_path / "paper.yaml"
    file.write_text(CONFIGURATION)
    run = prepare(load_configuration(file))
    train(run, [notes])

    with np.load(DATA / "results.npz") as paper:
        np.testing.assert_allclose(notes.eval_loss, paper["eval_losses_ckpt"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(notes.test_loss, paper["test_losses_ckpt"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(notes.train_loss, paper["train_losses_ckpt"], rtol=0, atol=1e-4)
    scores = recovery_by_loop(notes.eval_loss, run.plan.order)
    assert scores == pytest.approx([0.1306, 0.0929, 0.1408], abs=0.001)
