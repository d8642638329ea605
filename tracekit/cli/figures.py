"""`tracekit figures`: pictures from traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracekit import plugins
from tracekit.cli.computing import FRESH, NO_CACHE, SCHEDULER, Compute, computing
from tracekit.cli.parameters import TRACE
from tracekit.errors import AnalysisError, ConfigurationError, TraceError
from tracekit.outputs import make_folder

if TYPE_CHECKING:
    import xarray as xr

    from tracekit.protocols import FigureKind

    Traces = Mapping[str, xr.DataTree]

FORMATS = ("png", "pdf", "svg")


@click.command(short_help="Draw figures from traces.")
@click.argument("runs", nargs=-1, required=True, type=TRACE, metavar="RUN...")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the figures.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Draw this figure only; may be given several times. `tracekit list` names them.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(FORMATS),
    default=("png", "pdf"),
    show_default=True,
    help="Kind of file; may be given several times.",
)
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of a figure, such as by and metric of by-setting; may be given several times.",
)
@SCHEDULER
@FRESH
@NO_CACHE
def figures(
    runs: tuple[str, ...],
    *,
    out: Path,
    only: tuple[str, ...],
    formats: tuple[str, ...],
    given: tuple[str, ...],
    scheduler: str | None,
    fresh: bool,
    no_cache: bool,
) -> None:
    """Draw the figures that the traces RUN allow; runs are drawn side by side.

    \b
    Examples:
      tracekit figures demo/cyclic.zarr demo/shuffled.zarr --out figures
      tracekit figures run.zarr --out figures --only recovery --format svg
      tracekit figures runs/*.zarr --out figures --only by-setting --set by=training.updates_per_visit
    """
    from tracekit.collection.finding import matching
    from tracekit.reading.opening import open_trace

    kinds = chosen(only)
    options = options_of(kinds, given)
    make_folder(out)
    traces = labelled([open_trace(path) for run in runs for path in matching(run)])
    with computing(scheduler, shown=False) as compute:
        make = partial(_computed, compute) if no_cache else partial(_kept, compute, fresh=fresh)
        draw_all(traces, out, kinds=kinds, formats=formats, make=partial(make, options=options))


def chosen(names: Sequence[str] = ()) -> list[FigureKind]:
    """Give the figures of these names, or all that need no options."""
    wanted = dict.fromkeys(names or plugins.names("tracekit.figures"))
    kinds: list[FigureKind] = [plugins.load("tracekit.figures", name) for name in wanted]
    return [kind for kind in kinds if names or not kind.options]


def options_of(kinds: Sequence[FigureKind], given: Sequence[str]) -> dict[str, str]:
    """Take options apart, and refuse one that no figure has."""
    options = dict(_parted(each) for each in given)
    known = [name for kind in kinds for name in kind.options]
    for name in options:
        if name not in known:
            raise ConfigurationError(
                f"--set {name}: the figures asked for have no such option{plugins.suggestion(name, known)}; "
                "name the figure by --only"
            )
    return options


def _parted(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"--set {text}: expected NAME=VALUE, such as by=model_size")
    return name, value


def _computed(
    compute: Compute, kind: FigureKind, traces: Traces, *, options: Mapping[str, str]
) -> xr.Dataset:
    return compute(kind.build(traces, **_own(kind, options)))


def _own(kind: FigureKind, options: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in options.items() if name in kind.options}


def _kept(
    compute: Compute, kind: FigureKind, traces: Traces, *, options: Mapping[str, str], fresh: bool
) -> xr.Dataset:
    """Give what a figure shows, computed or as it is kept."""
    from tracekit.derived import derive

    def build(*opened: xr.DataTree, labels: Sequence[str], **own: str) -> xr.Dataset:
        return kind.build(dict(zip(labels, opened, strict=True)), **own)

    parameters = {"labels": list(traces), **_own(kind, options)}
    opened = list(traces.values())
    return derive(
        f"figure-{kind.name}", build, opened, parameters, compute=compute, fresh=fresh, code_of=kind.build
    )


def labelled(traces: Sequence[xr.DataTree]) -> dict[str, xr.DataTree]:
    """Name traces by their order if that tells them apart, else by their file, else by number."""
    orders = [str(trace.attrs.get("order")) for trace in traces]
    stems = [Path(trace.attrs["path"]).stem for trace in traces]
    numbers = [f"{stem} ({place})" for place, stem in enumerate(stems, 1)]
    labels = next((names for names in (orders, stems) if len(set(names)) == len(names)), numbers)
    return dict(zip(labels, traces, strict=True))


def draw_all(
    traces: Mapping[str, xr.DataTree],
    out: Path,
    *,
    kinds: Sequence[FigureKind] | None = None,
    formats: Sequence[str] = FORMATS,
    make: Callable[[FigureKind, Traces], xr.Dataset] | None = None,
) -> None:
    """Draw figures into a folder, and say of each where it is or why it cannot be drawn."""
    from tracekit.cli.progress import bar

    kinds = chosen() if kinds is None else kinds
    lines: list[str] = []
    n_drawn = 0
    make = make or partial(_computed, lambda dataset: dataset.compute(), options={})
    with bar() as progress:
        task = progress.add_task("drawing figures", total=len(kinds), note="")
        for kind in kinds:
            progress.update(task, note=kind.name)
            try:
                figure = kind.draw(make(kind, traces))
            except (AnalysisError, TraceError) as error:
                lines.append(f"  {kind.name}: not drawn: {error}")
            else:
                files = kind.save(figure, out, kind.name, tuple(dict.fromkeys(formats)))
                n_drawn += 1
                lines.append("  " + ", ".join(str(file) for file in files))
            progress.advance(task)
    click.echo("\n".join(lines))
    if n_drawn == 0:
        raise AnalysisError("no figure could be drawn; the lines above say why")
