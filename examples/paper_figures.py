"""The three main figures of the paper, from stored traces: a loss, recovery scores, similarity of weights.

Run `make demo` first, then `python examples/paper_figures.py demo/cyclic.zarr demo/shuffled.zarr`.
In a notebook, a figure that is the last line of a cell shows itself.
"""

import sys

from analyses.figures.registry import RECOVERY, SIMILARITY_WEIGHTS, TASK_LOSS
from tracekit import open_trace


def main(*paths: str) -> None:
    traces = {str(trace.attrs["order"]): trace for trace in map(open_trace, paths)}
    for kind in (TASK_LOSS, RECOVERY, SIMILARITY_WEIGHTS):
        numbers = kind.build(traces).compute()  # a Dataset: look at it, keep it, draw it in another way
        kind.draw(numbers).savefig(f"{kind.name}.png", bbox_inches="tight")
        print(f"{kind.name}.png")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["demo/cyclic.zarr", "demo/shuffled.zarr"]))
