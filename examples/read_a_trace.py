"""Read a trace: what it holds, one parameter by name, recovery, similarity and a trajectory.

Run `make demo` first, then `python examples/read_a_trace.py demo/cyclic.zarr`.
"""

import sys

from analyses import cyclicity, gram, pca, recovery, recovery_interval, residual_cosine
from tracekit import flat, kinds, open_trace


def main(path: str) -> None:
    trace = open_trace(path)
    n_tasks = trace.attrs["n_tasks"]
    print(f"{path}: {trace.attrs['snapshots_committed']} snapshots of {', '.join(kinds(trace))}")

    scores = recovery_interval(recovery(trace["losses"].to_dataset())).compute()
    for interval in scores.interval.values:
        each = scores.sel(interval=interval)
        print(
            f"interval {interval}: recovery score {float(each.recovery_score):.3f} "
            f"({float(each.interval_low):.3f} to {float(each.interval_high):.3f})"
        )

    if "weights" not in kinds(trace):
        print("no weights were recorded, so there is no path to look at")
        return
    name = next(name for name in trace["weights"].data_vars if str(name).endswith("attention.dense.weight"))
    step = trace["weights"][name].diff("visit")
    print(f"{name}: mean step length {float(((step**2).sum(step.dims[1:]) ** 0.5).mean()):.4f}")

    products = gram(flat(trace, "weights", select="*attention*")).compute()
    profile = cyclicity(residual_cosine(products, window=n_tasks), period=n_tasks).compute()
    print(f"attention weights are more alike a whole cycle apart, by {float(profile.contrast):.3f}")
    print(
        "share of variance along the first components:",
        pca(products).explained_variance_ratio.values.round(3),
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo/cyclic.zarr")
