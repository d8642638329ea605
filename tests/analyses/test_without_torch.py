"""Every analysis works where torch, transformers and the trainer cannot be imported, and draws nothing."""

import subprocess
import sys

SCRIPT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "tokenizers", "datasets", "pydantic", "recorders"}:
            raise ImportError(f"{name} is not to be imported")
        if name.startswith("tracekit.training"):
            raise ImportError(f"{name} is not to be imported")

sys.meta_path.insert(0, Refuse())

import tracekit
import analyses
from tracekit import plugins
from tracekit.testing import synthetic_runs

traces = synthetic_runs(2, n_tasks=4, n_epochs=3)
plug_ins = [plugins.load("tracekit.analyses", name) for name in plugins.names("tracekit.analyses")]
assert len(plug_ins) >= 6
for plug_in in plug_ins:
    plug_in.report(plug_in.build(*traces[: plug_in.n_traces[1]]).compute())
drawing = {"matplotlib", "seaborn"} & set(sys.modules)
assert not drawing, drawing
print("done")
"""


def test_analyses_run_where_torch_cannot_be_imported():
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "done"
