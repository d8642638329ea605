"""`tracekit verify`: read a trace through."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tracekit.cli.parameters import TRACE

if TYPE_CHECKING:
    from tracekit.checking.faults import Report

MOST_SHOWN = 100


@click.command(short_help="Read all of a trace, and name what is damaged.")
@click.argument("run", type=TRACE)
@click.option("--repair", is_flag=True, help="Put metadata back; drop visits from the first damaged one on.")
@click.option("--json", "as_document", is_flag=True, help="Print one JSON object.")
@click.option(
    "--threads", type=click.IntRange(1, 64), default=4, show_default=True, help="Objects at a time."
)
def verify(run: str, repair: bool, as_document: bool, threads: int) -> None:
    """Read every chunk of the trace RUN, and name the array, chunk and visits of each fault.

    Nothing is changed, unless --repair is given: then metadata and planned coordinates are put back from the
    copy that is in the trace, a damaged commit marker is made anew of what is there whole, and damaged
    checkpoints are removed. If values are damaged, the trace is taken back, for good, to its last commit that
    is sound in everything. Leave the flag out to keep the undamaged data of later visits: it can be read as
    it is. The exit status is 1 if something is damaged, and 0 if nothing is (any more).

    \b
    Examples:
      tracekit verify demo/cyclic.zarr
      tracekit verify demo/cyclic.zarr --json
      tracekit verify demo/cyclic.zarr --repair
    """
    from tracekit.cli.output import as_json

    report = _verify(run, threads)
    if as_document:
        click.echo(as_json(dataclasses.asdict(report)))
    else:
        _print(report)
    if repair and report.faults:
        _repair(run, report)
    elif report.faults:
        sys.exit(1)


def _verify(run: str, threads: int) -> Report:
    from tracekit.checking.verify import verify as read_through
    from tracekit.cli.progress import bar

    with bar(transient=True) as progress:
        task = progress.add_task("reading", total=None, note="objects")
        return read_through(
            run,
            threads=threads,
            progress=lambda n_read, n_objects: progress.update(task, completed=n_read, total=n_objects),
        )


def _print(report: Report) -> None:
    from tracekit.checking.faults import written
    from tracekit.cli.output import size

    for fault in report.faults[:MOST_SHOWN]:
        chunk = "" if fault.chunk is None else f", chunk {fault.chunk}"
        click.echo(
            f"{fault.kind}: {fault.array or 'the trace'}, object {fault.key}{chunk}, "
            f"visits {written(fault.visits) or 'none'}\n    {fault.problem}"
        )
    if len(report.faults) > MOST_SHOWN:
        click.echo(f"… and {len(report.faults) - MOST_SHOWN} more (--json gives all)")
    committed = "unknown, as the marker is damaged" if report.committed is None else str(report.committed)
    click.echo(f"{report.path}: snapshots committed: {committed}")
    click.echo(f"{report.n_chunks} sound chunks ({size(report.n_bytes)}) in {report.n_objects} objects")
    for line in _verdict(report):
        click.echo(line)


def _verdict(report: Report) -> list[str]:
    if not report.faults:
        return ["No fault found."]
    stopped = " Reading stopped there: there may be more." if report.cut_off else ""
    n_faults = len(report.faults)
    lines = [f"{n_faults} fault{'s' if n_faults > 1 else ''} found.{stopped}"]
    if report.lost:
        lines.append(
            f"Cannot be opened: {', '.join(report.lost)}. Still readable, with open_trace(…, "
            f"skip_damaged=True): {', '.join(report.readable) or 'nothing'}. --repair puts back metadata and "
            "coordinates, if the trace has a sound copy of them."
        )
    elif report.sound_commit is None:
        lines.append(
            "No values are lost; open_trace(…, skip_damaged=True) leaves out what is damaged, and --repair "
            "puts it back if the trace has a sound copy of it."
        )
    elif report.sound_commit == report.committed:
        lines.append(
            "Everything can be read; --repair makes the second copy of metadata anew, and removes damaged "
            "checkpoints, so that a run goes on from an older one."
        )
    else:
        lines.append(
            f"Everything opens, and all that is not named above can be read. The first {report.sound_commit} "
            "snapshots are sound in everything: --repair drops those after them."
        )
    return lines


def _repair(run: str, report: Report) -> None:
    """Repair what can be repaired without loss; then take the trace back, if that leaves anything.

    Raises
    ------
    TraceError
        If it would not help.
    """
    from tracekit.errors import TraceError
    from tracekit.writing.truncation import rollback

    for step in (_put_back, _remake_marker, _remove_checkpoints):
        report = step(run, report)
    if not report.faults:
        return
    if not report.sound_commit or report.cut_off:
        why = (
            "coordinates or metadata are damaged"
            if report.sound_commit is None
            else "it would drop every visit"
        )
        raise TraceError(f"{report.path}: nothing was changed: {why}; restore what is damaged from a copy")
    rollback(run, report.sound_commit)
    left = _verify(run, 1)
    click.echo(f"Taken back to the first {report.sound_commit} snapshots.", err=True)
    if left.faults:
        sys.exit(1)


def _put_back(run: str, report: Report) -> Report:
    """Put back metadata and coordinates, if something else than the marker is damaged; gives what is left.

    Raises
    ------
    TraceError
        If there is no copy of them.
    """
    from tracekit.checking.repairing import restore
    from tracekit.errors import DamagedTraceError, TraceError

    if not any(fault.is_copied for fault in report.faults):
        return report
    try:
        restored = restore(run)
    except DamagedTraceError as error:
        raise TraceError(
            f"{report.path}: nothing was changed: coordinates or metadata are damaged, and there is no sound "
            f"copy of them in the trace ({error}); restore what is damaged from elsewhere"
        ) from error
    return _told(run, report, [f"Put back: {key}" for key in restored])


def _remake_marker(run: str, report: Report) -> Report:
    """Make the marker anew, if that is damaged; gives what is left.

    Raises
    ------
    TraceError
        If nothing says what was committed.
    """
    from tracekit.checking.remarking import remake_marker

    if report.committed is not None:
        return report
    remade = remake_marker(run)
    lines = [f"Made anew: the commit marker, of {remade.committed} snapshots found whole"]
    if remade.without_value:
        lines.append(
            f"Dropped: visit {remade.committed}, at which {', '.join(remade.without_value)} has no value: it "
            "was never written, or it is NaN, which cannot be told apart. A run that is resumed repeats this "
            "visit"
        )
    return _told(run, report, lines)


def _remove_checkpoints(run: str, report: Report) -> Report:
    """Remove damaged checkpoints; gives what is left."""
    from tracekit.checking.repairing import remove_damaged_checkpoints

    if not any(fault.kind == "checkpoint" for fault in report.faults):
        return report
    return _told(run, report, [f"Removed: {key}" for key in remove_damaged_checkpoints(run)])


def _told(run: str, report: Report, lines: Sequence[str]) -> Report:
    """Say what was done, and read the trace through again if something was."""
    for line in lines:
        click.echo(line, err=True)
    return _verify(run, 1) if lines else report
