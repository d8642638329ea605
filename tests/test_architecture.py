"""The dependency rule, and what it is for: analyses on a machine without torch."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from tracekit.cli.main import cli
from tracekit.testing.written import write_example_trace

WITHOUT = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused}:
            raise ImportError(f"{{name}} cannot be imported here")

sys.meta_path.insert(0, Refuse())
"""


def run_without(packages, code):
    """Run Python code in a fresh process where some packages cannot be imported."""
    program = WITHOUT.format(refused=packages) + code
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


TRAINING = {"torch", "transformers", "tokenizers", "datasets", "pydantic", "safetensors"}
DRAWING = {"matplotlib", "seaborn"}


def test_the_analysis_side_works_without_torch(tmp_path):
    code = f"""
import tracekit, analyses
from tracekit.testing.written import write_example_trace
from tracekit import plugins
def write(order):
    size = {{"model_signature": {{"weight": f"float32[{{len(order)}}]"}}}}
    return write_example_trace(r"{tmp_path}/" + order, n_epochs=4, order=order, n_probes=5, attributes=size)

runs = [write("cyclic"), write("shuffled")]
traces = [tracekit.open_trace(run) for run in runs]
for name in plugins.names("tracekit.analyses"):
    analysis = plugins.load("tracekit.analyses", name)
    report = analysis.report(analysis.build(*traces[: analysis.n_traces[1]]).compute())
    assert report.numbers and report.rows, name
    print(name)
figures = [plugins.load("tracekit.figures", name) for name in plugins.names("tracekit.figures")]
print(len(figures), "figures")
"""
    done = run_without(TRAINING, code)

    assert done.returncode == 0, done.stderr
    assert "recovery" in done.stdout.split()
    assert "order-test" in done.stdout.split()


def test_numbers_need_no_drawing():
    done = run_without(TRAINING | DRAWING, "import tracekit, analyses; tracekit.open_trace; print('ok')")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["recorders", "tracekit.training"])
def test_the_training_side_says_what_is_missing(module):
    done = run_without({"torch"}, f"import {module}")
    assert "torch cannot be imported" in done.stderr


def test_the_command_line_without_torch_names_the_extra(tmp_path):
    code = f"""
import sys
from tracekit.cli.main import main
sys.argv = ["tracekit", "train", "any.yaml", "--out", r"{tmp_path}/run.zarr"]
main()
"""
    done = run_without(TRAINING, code)
    assert done.returncode == 1
    assert "install the `train` extra of tracekit-ml" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_tracekit_changes_nothing_and_imports_little():
    code = """
import sys, warnings
before = sys.excepthook, list(warnings.filters)
import tracekit
assert (sys.excepthook, list(warnings.filters)) == before
print([name for name in ("xarray", "zarr", "dask", "matplotlib", "scipy") if name in sys.modules])
"""
    done = run_without(TRAINING, code)
    assert done.stdout.strip() == "[]", done.stderr


def test_importing_analyses_imports_nothing_that_is_slow_beside_xarray():
    code = """
import sys, analyses
print([name for name in ("scipy", "dask", "zarr", "matplotlib") if name in sys.modules])
"""
    done = run_without(TRAINING, code)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("kept", [True, False])
def test_an_analysis_on_the_command_line_needs_neither_zarr_nor_a_cluster(tmp_path, kept):
    run = write_example_trace(tmp_path / "run.zarr")
    command = ["analyze", "recovery", run, "--json"]
    if kept:
        assert CliRunner().invoke(cli, command).exit_code == 0
    else:
        command.append("--no-cache")
    code = f"from tracekit.cli.main import cli; cli({command})"
    done = run_without({"zarr", "distributed", *DRAWING, *TRAINING}, code)
    assert done.returncode == 0, done.stderr
    assert '"recovery_score"' in done.stdout


def test_every_public_name_exists():
    import analyses
    import recorders
    import tracekit

    for package in (tracekit, recorders, analyses):
        for name in package.__all__:
            assert getattr(package, name) is not None
