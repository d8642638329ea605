"""How numbers are shown: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracekit.protocols import Report

FILE_WIDTH = 120
"""Columns of a table that goes into a file or another program, where no terminal says how wide it is."""


def as_json(value: Any) -> str:
    """Give one JSON document; what is not a number or infinite becomes null, since JSON knows neither.

    Examples
    --------
    >>> as_json({"score": float("nan")})
    '{"score": null}'
    """
    return json.dumps(_plain(value))


def print_report(report: Report) -> None:
    """Print a report as a table with its notes below."""
    print_table(report.columns, report.rows, title=report.title)
    for note in report.notes:
        click.echo(note)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table below its title; numbers to the right."""
    rows = [tuple(row) for row in rows]
    table = Table()
    for place, column in enumerate(columns):
        numeric = all(isinstance(row[place], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(text(value)) for value in row))  # as a str, "[a]" would be taken for markup
    console = Console()
    if not console.is_terminal:
        console.width = FILE_WIDTH
    if title:
        click.echo(title)  # a title of the table's own would be folded to its width
    console.print(table)


def text(value: Any) -> str:
    """Write a value for people: four significant digits, a dash for "not defined".

    Examples
    --------
    >>> text(0.123456), text(float("nan")), text(12)
    ('0.1235', '–', '12')
    """
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}"
    return str(value)


def size(n_bytes: float) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> size(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} TiB"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
