"""`tracekit analyze`: numbers from traces."""

from __future__ import annotations

import csv
import inspect
import types
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import click

from tracekit import plugins
from tracekit.cli.parameters import TRACE, require_known
from tracekit.errors import AnalysisError, OutputError
from tracekit.outputs import require_ending, writing

if TYPE_CHECKING:
    import xarray as xr

    from tracekit.protocols import Analysis, Report


class Analyses(click.Group):
    """One command per analysis, with the analysis' own options; loaded when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names; nothing is loaded."""
        return list(plugins.names("tracekit.analyses"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of one analysis."""
        return _command(plugins.load("tracekit.analyses", cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the analysis that the arguments name, or say what was perhaps meant."""
        require_known(ctx, self.list_commands(ctx), args[0], what="analysis")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the names alone: one-line summaries would cost the import of every analysis."""
        with formatter.section("Analyses"):
            formatter.write_text(", ".join(self.list_commands(ctx)))
            formatter.write_text(
                "`tracekit list` says what each tells, `tracekit analyze NAME --help` its options."
            )


@click.command(cls=Analyses, short_help="Compute numbers from traces.", subcommand_metavar="NAME RUN...")
def analyze() -> None:
    """Compute the analysis NAME from one or several traces, and print its numbers.

    \b
    Examples:
      tracekit analyze recovery demo/cyclic.zarr
      tracekit analyze order-test demo/cyclic.zarr demo/shuffled.zarr --json
      tracekit analyze similarity demo/cyclic.zarr --kind gradients --out similarity.csv
    """


def _command(analysis: Analysis) -> click.Command:
    from tracekit.cli.computing import FRESH, NO_CACHE, SCHEDULER

    command = click.Command(
        analysis.name,
        callback=partial(_run, analysis),
        help=_help(analysis),
        params=[
            click.Argument(["runs"], nargs=-1, required=True, type=TRACE, metavar=_usage(*analysis.n_traces)),
            *_options(analysis),
            click.Option(["--json", "as_document"], is_flag=True, help="Print one JSON object."),
            click.Option(
                ["--out"],
                type=click.Path(path_type=Path),
                help="Also write to a file: numbers as .json, the table as .csv, or everything as .zarr.",
            ),
        ],
    )
    return NO_CACHE(FRESH(SCHEDULER(command)))


def _help(analysis: Analysis) -> str:
    lines = [f"  tracekit analyze {analysis.name} {example}" for example in analysis.examples]
    examples = "\n".join(["\b", "Examples:", *lines]) if lines else ""
    takes = f"Takes {_count(*analysis.n_traces)}{', all of one order' if analysis.one_order else ''}."
    return "\n\n".join(part for part in (analysis.summary, analysis.details, takes, examples) if part)


def _usage(fewest: int, most: int | None) -> str:
    """Show how many traces there may be.

    Examples
    --------
    >>> _usage(1, 1), _usage(1, 2), _usage(2, None)
    ('RUN', 'RUN [RUN]', 'RUN RUN...')
    """
    required = " ".join(["RUN"] * fewest)
    return f"{required}..." if most is None else required + " [RUN]" * (most - fewest)


def _count(fewest: int, most: int | None) -> str:
    if most is None:
        return f"{fewest} traces or more"
    if most == 1:
        return "one trace"
    if most == fewest:
        return f"{fewest} traces"
    return f"{fewest} {'or' if most == fewest + 1 else 'to'} {most} traces"


def _run(
    analysis: Analysis,
    runs: tuple[str, ...],
    *,
    as_document: bool,
    out: Path | None,
    scheduler: str | None,
    fresh: bool,
    no_cache: bool,
    **options: Any,
) -> None:
    from tracekit.cli.computing import computing
    from tracekit.derived import derive

    if out is not None:
        _require_place(out)
    traces = _opened(analysis, runs)
    with computing(scheduler) as compute:
        if no_cache:
            result = compute(analysis.build(*traces, **options))
        else:
            result = derive(analysis.name, analysis.build, traces, options, compute=compute, fresh=fresh)
    report = _with_gaps(analysis.report(result), traces)
    if out is not None:
        _write(out, result, report)
    _print(report, as_document)


def _options(analysis: Analysis) -> list[click.Parameter]:
    """Make a command-line option of every keyword-only parameter of the analysis."""
    hints = get_type_hints(analysis.build)
    parameters = inspect.signature(analysis.build).parameters.values()
    return [
        click.Option(
            [_switch(parameter.name, hints[parameter.name]), parameter.name],
            type=_click_type(hints[parameter.name]),
            default=parameter.default,
            show_default=parameter.default is not None,
            help=analysis.options.get(parameter.name),
        )
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    ]


def _switch(name: str, hint: Any) -> str:
    dashed = name.replace("_", "-")
    return f"--{dashed}/--no-{dashed}" if hint is bool else f"--{dashed}"


def _click_type(hint: Any) -> Any:
    """Give click's type for an annotation: choices of a Literal, or the first member of a union."""
    if get_origin(hint) in (Union, types.UnionType):
        return _click_type(next(member for member in get_args(hint) if member is not type(None)))
    if hint in (int, float, bool):
        return hint
    choices = get_args(hint)
    return click.Choice(choices) if choices and all(isinstance(choice, str) for choice in choices) else str


def _opened(analysis: Analysis, runs: tuple[str, ...]) -> list[xr.DataTree]:
    from tracekit.cli.progress import tracked
    from tracekit.collection.finding import matching
    from tracekit.reading.opening import open_trace

    runs = tuple(path for run in runs for path in matching(run))
    fewest, most = analysis.n_traces
    if len(runs) < fewest or (most is not None and len(runs) > most):
        raise click.UsageError(f"{analysis.name} takes {_count(fewest, most)}, found {len(runs)}")
    traces = [open_trace(run) for run in tracked("opening runs", runs, len(runs))]
    for trace in traces:
        if trace.attrs["snapshots_committed"] == 0:
            raise AnalysisError(f"{trace.attrs['path']}: the trace is empty, no visit has been committed yet")
    if analysis.one_order:
        _require_one_order(analysis.name, traces)
    return traces


def _require_one_order(name: str, traces: list[xr.DataTree]) -> None:
    """Refuse runs of several orders: a mean over them speaks of neither."""
    paths: dict[str, list[str]] = {}
    for trace in traces:
        paths.setdefault(trace.attrs.get("order", ""), []).append(trace.attrs["path"])
    paths.pop("", None)  # a trace that does not say its order can be of any
    if len(paths) > 1:
        found = "; ".join(f"{order}: {', '.join(those)}" for order, those in paths.items())
        raise AnalysisError(
            f"{name}: expected runs of one order, found {len(paths)}: {found}; give those of one order at a "
            "time, or compare the orders by `tracekit analyze group-test … --by order`"
        )


def _with_gaps(report: Report, traces: list[xr.DataTree]) -> Report:
    """Add to a report what could not be recorded in the traces that it is about."""
    from tracekit.cli.show import gap_notes

    gaps = {trace.attrs["path"]: trace.attrs["gaps"] for trace in traces if "gaps" in trace.attrs}
    if not gaps:
        return report
    notes = [f"{trace.attrs['path']}: {note}" for trace in traces for note in gap_notes(trace)]
    return replace(report, numbers={**report.numbers, "gaps": gaps}, notes=(*report.notes, *notes))


def _print(report: Report, as_document: bool) -> None:
    from tracekit.cli.output import as_json, print_report

    if as_document:
        click.echo(as_json(report.numbers))
    else:
        print_report(report)


def _require_place(path: Path) -> None:
    """Refuse a file for the result before anything is computed; never put one in the place of a trace."""
    require_ending(path, (".json", ".csv", ".zarr"))
    if path.suffix == ".zarr" and path.exists():
        raise OutputError(f"{path}: there is something here already; choose another name, or delete it")


def _write(path: Path, result: xr.Dataset, report: Report) -> None:
    """Write the result in the format that the file's name asks for."""
    from tracekit.cli.output import as_json

    with writing(path):
        if path.suffix == ".json":
            path.write_text(as_json(report.numbers) + "\n")
        elif path.suffix == ".csv":
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([report.columns, *report.rows])
        else:
            result.to_zarr(path, mode="w-", zarr_format=3, consolidated=False)
