"""What a run will write is known before it starts, and is what it then writes at most."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tracekit import Field, Plan, Rows, Series, TraceWriter
from tracekit.cli.plan import plan as plan_command
from tracekit.cli.train import train as train_command
from tracekit.errors import TraceWriteError
from tracekit.writing.estimate import CountingWriter, free_bytes, require_space

PLAN = Plan(np.tile(np.arange(3), (4, 1)), n_tasks=3, updates_per_visit=2)
TOY = "tasks: {kind: toy}\ntraining: {epochs: 2}\nrecorders: [{kind: losses}, {kind: weights, every: 5}]\n"


def declare(writer, dtype="float32"):
    fields = (Field("w", (700, 300)), Field("b", (300,)))
    writer.declare_rows(Rows("weights", fields, tuple(range(13)), dtype=dtype))
    writer.declare_rows(
        Rows("activations", (Field("mlp", (9,)),), (0, 4), ("probe", ("x", "y")), dtype=dtype)
    )
    series = [Series("losses", "eval_loss", dims=("task",)), Series("losses", "train_loss", "update")]
    writer.declare_series(series, labels={"task": ["a", "b", "c"]})


@pytest.mark.parametrize("codec", ["lz4", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_takes_what_was_planned_and_no_more(tmp_path, codec, dtype):
    counted = CountingWriter(PLAN, codec)
    declare(counted, dtype)
    noise = np.random.default_rng(0)
    with TraceWriter.create(tmp_path / "run.zarr", PLAN, codec=codec, durability="rename") as writer:
        declare(writer, dtype)
        for number in range(13):
            writer.put_row("weights", number, noise.standard_normal(210_300).astype(dtype))
            if number in (0, 4):
                writer.put_row("activations", number, noise.standard_normal((2, 9)).astype(dtype))
            writer.put("losses", "eval_loss", [1, 2, 3])
            for _ in range(2 if number else 0):
                writer.put("losses", "train_loss", 1)
            writer.commit(PLAN.visit(number))

    for kind in counted.kinds[:2]:
        found = sum(
            f.stat().st_size
            for f in (tmp_path / "run.zarr" / kind.kind / "values/c").rglob("*")
            if f.is_file()
        )
        assert 0.8 * kind.total_bytes < found <= kind.total_bytes or kind.kind == "activations"
        assert found <= kind.total_bytes
        n_files = sum(f.is_file() for f in (tmp_path / "run.zarr" / kind.kind).rglob("*"))
        assert n_files == kind.files
    losses = counted.kinds[2]
    assert (losses.kind, losses.tensors, losses.rows) == ("losses", 2, 24)
    assert losses.total_bytes == 13 * 3 * 8 + 24 * 8


def test_room_is_what_is_free_and_what_lies_there_already(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    (tmp_path / "run.zarr").mkdir()
    (tmp_path / "run.zarr/old").write_bytes(b"x" * 50)
    assert free_bytes(tmp_path / "run.zarr") == 1000, "no trace, so it is not ours to replace"
    (tmp_path / "run.zarr/zarr.json").touch()

    assert free_bytes(tmp_path / "run.zarr") == 1050
    assert free_bytes(tmp_path / "not/yet/there.zarr") == 1000
    assert free_bytes(Path("relative.zarr")) == 1000


def test_what_does_not_fit_is_refused(monkeypatch, tmp_path):
    counted = CountingWriter(PLAN)
    declare(counted)
    require_space(counted.kinds, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))

    with pytest.raises(
        TraceWriteError, match=r"writes up to 0.0109 GB, and 1e-06 GB are free.*--ignore-space"
    ):
        require_space(counted.kinds, tmp_path)


@pytest.fixture
def toy(tmp_path):
    file = tmp_path / "toy.yaml"
    file.write_text(TOY)
    return str(file)


def test_the_command_plans_and_trains_nothing(toy, tmp_path):
    out = tmp_path / "run.zarr"

    found = CliRunner().invoke(plan_command, [toy, "training.epochs=3", "--out", str(out), "--json"])
    table = CliRunner().invoke(plan_command, [toy, "--out", str(out)])

    assert found.exit_code == table.exit_code == 0, (found.output, table.output)
    document = json.loads(found.output)
    assert document["snapshots"] == 76
    assert document["fits"] is True
    kinds = {kind["kind"]: kind for kind in document["kinds"]}
    assert kinds["weights"]["rows"] == 16
    assert kinds["losses"]["rows"] == 75 * 10, "an update is a row"
    assert kinds["weights"]["samples"] == [*range(0, 76, 5)]
    assert [field["name"] for field in kinds["weights"]["fields"]] == ["P", "w"]
    assert "weights, at visits 0 to 50 by 5" in table.output
    assert "400 × 400" in table.output
    assert "51 snapshots" in table.output
    assert not out.exists()


def test_a_run_for_a_gpu_is_planned_without_one(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = str(tmp_path / "run.zarr")
    planned = [
        CliRunner().invoke(plan_command, [toy, f"training.device={name}", "--json"]).output
        for name in ("cuda", "cpu")
    ]
    for_gpu, for_cpu = (json.loads(output) for output in planned)
    assert for_gpu["kinds"] == for_cpu["kinds"]
    refused = CliRunner().invoke(train_command, [toy, "training.device=cuda", "--out", out])
    assert "expected a CUDA device, found none" in str(refused.exception)


def test_layers_that_are_alike_are_one_line_unless_all_are_asked_for(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "model: {layers: 3, width: 16, heads: 2}\n"
        "tasks: {n_documents: 2, max_tokens: 8, tokenizer: {vocabulary: 300}}\n"
        "training: {epochs: 2}\n"
        "recorders: [{kind: weights, select: [mlp, '!*bias'], when: {visits: [3]}}]\n"
    )
    folded = CliRunner().invoke(plan_command, [str(file)]).output
    assert "weights, at visits 0, 3, 4" in folded
    (line,) = [line for line in folded.splitlines() if "gpt_neox.layers.*.mlp.dense_h_to_4h.weight" in line]
    assert [part.strip() for part in line.split("│")[2:5]] == ["3", "64 × 16", "3072"]
    in_full = CliRunner().invoke(plan_command, [str(file), "--all"]).output
    assert all(f"gpt_neox.layers.{layer}.mlp.dense_h_to_4h.weight" in in_full for layer in range(3))


def test_train_refuses_before_anything_is_written_unless_told_to_go_on(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    out = tmp_path / "run.zarr"

    refused = CliRunner().invoke(train_command, [toy, "--out", str(out)])
    assert isinstance(refused.exception, TraceWriteError)
    assert not out.exists()

    done = CliRunner().invoke(train_command, [toy, "--out", str(out), "--ignore-space"])
    assert done.exit_code == 0, done.output
    assert out.exists()
