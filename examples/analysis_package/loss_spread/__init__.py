"""An analysis of a package of your own: how far apart the losses of tasks are, visit by visit.

After `pip install ./examples/analysis_package`, `tracekit analyze loss-spread RUN` is there.
"""

from __future__ import annotations

import xarray as xr

from tracekit.errors import AnalysisError
from tracekit.protocols import Analysis, Report


def build(*traces: xr.DataTree, quantile: float = 0.9) -> xr.Dataset:
    """Give the distance between the upper and the lower quantile over tasks; nothing is computed."""
    (trace,) = traces
    if not 0 <= quantile <= 1:
        raise AnalysisError(f"quantile: expected a number from 0 to 1, found {quantile:g}")
    if "losses" not in trace.children:
        raise AnalysisError(f"{trace.attrs['path']}: expected losses, found none; record losses in the run")
    loss = trace["losses"].to_dataset()["eval_loss"].chunk(task=-1)
    upper, lower = (loss.quantile(q, "task").drop_vars("quantile") for q in (quantile, 1 - quantile))
    words = {"units": loss.attrs.get("units", "1"), "long_name": "distance between quantiles over tasks"}
    return xr.Dataset({"spread": (upper - lower).assign_attrs(words)}, attrs={"quantile": quantile})


def report(dataset: xr.Dataset) -> Report:
    """Say how large the spread is at the first and the last visit."""
    visits, spread = dataset["visit"].values.tolist(), dataset["spread"].values.tolist()
    ends = ((visits[0], spread[0]), (visits[-1], spread[-1])) if visits else ()
    return Report(
        numbers={"visit": visits, "spread": spread, "units": dataset["spread"].attrs["units"]},
        columns=("visit", "spread"),
        rows=ends,
        title=f"Spread of losses over tasks, between quantiles {dataset.attrs['quantile']:g} and its mirror",
    )


LOSS_SPREAD = Analysis(
    name="loss-spread",
    summary="How far apart the losses of tasks are, visit by visit.",
    build=build,
    report=report,
    options={"quantile": "The upper quantile over tasks; the lower one is its mirror."},
)
