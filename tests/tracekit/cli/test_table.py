"""`tracekit table`: numbers of many runs by configuration, printed and written."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from analyses import recovery
from tracekit import Plan, Series, TraceWriter, open_trace
from tracekit.cli.main import cli
from tracekit.testing import synthetic_losses
from tracekit.testing.written import write_example_trace


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for order in ("cyclic", "shuffled"):
        for seed in (0, 1):
            write_example_trace(
                folder / f"{order}-{seed}.zarr",
                n_tasks=3 + seed,
                order=order,
                attributes={"configuration": {"seed": seed}},
                durability="rename",
            )
    return folder


def call(*arguments, code=0):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def test_means_are_those_of_the_runs_of_a_configuration(runs, tmp_path):
    out = tmp_path / "table.csv"
    printed = call("table", f"{runs}/*.zarr", "--by", "order", "--metric", "recovery", "--out", out)
    found = pd.read_csv(out)
    scores = [
        float(recovery(open_trace(path)["losses"].to_dataset())["recovery_score"].mean())
        for path in sorted(runs.glob("cyclic-*.zarr"))
    ]
    assert found["order"].tolist() == ["cyclic", "shuffled"]
    assert found["runs"].tolist() == [2, 2]
    np.testing.assert_allclose(found["recovery"][0], np.mean(scores))
    np.testing.assert_allclose(found["recovery sd"][0], np.std(scores, ddof=1))
    assert f"{np.mean(scores):.4g} ± {np.std(scores, ddof=1):.4g}" in printed
    assert "4 runs" in printed


def write_losses(path, losses):
    """Write a cyclic run with such losses."""
    n_tasks, n_visits = losses.sizes["task"], losses.sizes["visit"] - 1
    plan = Plan(np.arange(n_visits).reshape(-1, n_tasks) % n_tasks, n_tasks, updates_per_visit=1)
    with TraceWriter.create(path, plan, durability="rename") as trace:
        trace.declare_series([Series("losses", "eval_loss", dims=("task",))], labels={"task": "abcd"})
        for number, values in enumerate(losses["eval_loss"].values):
            trace.put("losses", "eval_loss", values)
            trace.commit(plan.visit(number))


def test_scores_above_one_come_with_a_warning_that_says_why(tmp_path):
    """A mean over intervals may be below 1 though a score in it is not."""
    for name, scores in {"a": [0.5, 0.5], "b": [1.5, 0.2], "c": [1.2, 1.6]}.items():
        write_losses(tmp_path / f"{name}.zarr", synthetic_losses(recovery_scores=scores))
    words = ("--metric", "recovery", "--metric", "final-recovery", "--metric", "forgetting", "--json")
    for _ in range(2):  # measured, then taken from what is kept
        found = json.loads(call("table", f"{tmp_path}/*.zarr", *words))
        np.testing.assert_allclose([row["recovery"] for row in found["rows"]], [0.5, 0.85, 1.4])
        warnings = [note.split(": a score in it exceeds 1, ") for note in found["notes"][1:]]
        assert [whose for whose, _ in warnings] == [
            "Warning: recovery of b, c",
            "Warning: final-recovery of c",
        ]
        assert all("corrected-recovery" in why for _, why in warnings)
    alone = json.loads(call("table", f"{tmp_path}/a.zarr", *words))
    assert alone["notes"] == ["1 run. Of several runs: mean ± standard deviation over runs."]


def test_without_settings_there_is_a_row_for_each_run(runs):
    paths = sorted(map(str, runs.glob("*.zarr")))
    rows = json.loads(call("table", *paths, "--json", "--metric", "final-loss"))["rows"]
    assert [row["run"] for row in rows] == ["cyclic-0", "cyclic-1", "shuffled-0", "shuffled-1"]
    last = open_trace(paths[0])["losses"]["eval_loss"].values[-1].mean()
    assert rows[0]["final-loss"] == pytest.approx(last)


def test_all_formats_hold_the_same(runs, tmp_path):
    files = [tmp_path / f"table.{ending}" for ending in ("csv", "parquet", "tex")]
    call("table", f"{runs}/*", "--by", "order,seed", *(word for file in files for word in ("--out", file)))
    pd.testing.assert_frame_equal(pd.read_csv(files[0]), pd.read_parquet(files[1]))
    assert r"order & seed & runs & recovery" in files[2].read_text()


def test_latex_shows_names_as_they_are(tmp_path):
    """Characters that LaTeX takes for its own are escaped, and what is not defined is a dash."""
    write_example_trace(tmp_path / "a_b%c&d#e.zarr", n_epochs=1, durability="rename")
    call("table", f"{tmp_path}/*.zarr", "--metric", "recovery", "--out", tmp_path / "t.tex")
    assert r"a\_b\%c\&d\#e & -- \\" in (tmp_path / "t.tex").read_text()


def test_every_metric_is_a_number_of_each_run(runs):
    from tracekit import plugins

    names = plugins.names("tracekit.metrics")
    words = [word for name in names for word in ("--metric", name)]
    rows = json.loads(call("table", f"{runs}/*.zarr", "--json", *words))["rows"]
    assert all(np.isfinite(row[name]) for row in rows for name in names)


def test_what_is_not_whole_is_named(runs, tmp_path):
    import shutil

    from tracekit import rollback

    folder = tmp_path / "copy"
    shutil.copytree(runs, folder)
    rollback(folder / "cyclic-0.zarr", 3)
    (folder / "cyclic-1.zarr" / "zarr.json").write_text("{}")
    printed = call("table", f"{folder}/*.zarr", "--by", "order", "--skip-damaged")
    assert "Not complete: cyclic-0: interrupted: 3 of 7 snapshots" in printed
    assert "Left out: " in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--by", "ordr"), "did you mean 'order'"),
        (("--metric", "recovry"), "did you mean 'recovery'"),
        (("--out", "table.doc"), "must end in .csv, .parquet, .tex"),
    ],
)
def test_misspelt_names_are_told(runs, refused, words, message):
    assert message in refused("table", f"{runs}/*.zarr", *words)


def test_a_missing_package_is_named_with_its_extra(runs, monkeypatch, refused, tmp_path):
    def refuse(*_, **__):
        raise ImportError("no jinja2 here")

    monkeypatch.setattr(pd.DataFrame, "to_latex", refuse)
    message = refused("table", f"{runs}/*.zarr", "--out", tmp_path / "table.tex")
    assert "`tables` extra" in message
