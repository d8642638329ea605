"""A recorder of your own: the norm of every parameter, as one series per visit.

Run `python examples/own_recorder.py`. To reach it from configurations as `{kind: norms}`, a package declares
`norms = "your_package:NormRecorder"` in the entry-point group `tracekit.recorders`.
"""

import tempfile

import torch

from recorders import BaseRecorder, LossRecorder
from tracekit import Recording, Series, TraceWriter, Visit, open_trace
from tracekit.protocols import Evaluation, Run
from tracekit.training import parse_configuration, prepare, train


class NormRecorder(BaseRecorder):
    """Record the Euclidean norm of every parameter: `norms/norm`, dims (visit, parameter)."""

    def start(self, run: Run, trace: TraceWriter) -> None:
        """Declare one vector per visit, with the names of the parameters."""
        parameters = dict(run.model.named_parameters())
        self._parameters, self._trace = list(parameters.values()), trace
        trace.declare_series(
            [Series("norms", "norm", dims=("parameter",))], labels={"parameter": list(parameters)}
        )

    def after_visit(self, visit: Visit, evaluation: Evaluation) -> None:
        """Record the norms; the visit is committed when all recorders are done."""
        norms = [float(torch.linalg.vector_norm(parameter.detach())) for parameter in self._parameters]
        self._trace.put("norms", "norm", norms)

    def stop(self) -> None:
        """Let go of the parameters."""
        self._parameters = []


def main() -> None:
    configuration = parse_configuration({"tasks": {"kind": "toy"}, "training": {"epochs": 2}})
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/run.zarr"
        train(prepare(configuration), [Recording(path, [LossRecorder(), NormRecorder()])])
        print(open_trace(path)["norms"].norm.isel(visit=[0, 25, 50]).to_pandas())


if __name__ == "__main__":
    main()
