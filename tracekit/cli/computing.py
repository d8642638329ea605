"""Where the commands compute: on threads of this machine, or on a dask.distributed scheduler."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from tracekit.errors import PluginError, SchedulerError

if TYPE_CHECKING:
    import xarray as xr

CONNECT_SECONDS = 10
Compute = Callable[["xr.Dataset"], "xr.Dataset"]
SCHEDULER = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Compute on the workers of the dask.distributed scheduler at this address, such as "
    "tcp://host:8786 (needs the extra `distributed`). They must reach the traces under the same paths.",
)

FRESH = click.option("--fresh", is_flag=True, help="Compute even if the result is kept, and keep it anew.")
NO_CACHE = click.option("--no-cache", is_flag=True, help="Neither take a kept result nor keep this one.")


@contextlib.contextmanager
def computing(address: str | None = None, *, shown: bool = True) -> Iterator[Compute]:
    """Give what computes a Dataset; a bar on the error stream says how far it is, unless `shown` is False.

    Raises
    ------
    PluginError
        If an address is given, and dask.distributed is not installed.
    SchedulerError
        If no scheduler answers at the address.
    """
    shown = shown and sys.stderr.isatty()
    if address is None:
        with _threads(shown):
            yield lambda dataset: dataset.compute()
        return
    with _client(address):
        yield partial(_on_cluster, shown=shown)


@contextlib.contextmanager
def _threads(shown: bool) -> Iterator[None]:
    """Compute on threads; left to choose by itself, dask would import dask.distributed to ask it."""
    import dask
    import dask.threaded
    from dask.diagnostics import ProgressBar

    bar = ProgressBar(minimum=1.0, out=sys.stderr) if shown else contextlib.nullcontext()
    with dask.config.set(scheduler=dask.config.get("scheduler", None) or dask.threaded.get), bar:
        yield


def _client(address: str) -> Any:
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ImportError as error:
        raise PluginError(
            f"--scheduler needs dask.distributed: install the `distributed` extra of tracekit-ml ({error})"
        ) from error
    try:
        get_address_host_port(address)  # a Client made in vain leaves dask without a scheduler
        return Client(address, timeout=CONNECT_SECONDS)
    except ValueError as error:
        raise SchedulerError(
            f"{address!r} is no address of a scheduler ({error}); they look like tcp://host:8786"
        ) from error
    except OSError as error:
        raise SchedulerError(
            f"{address}: no dask scheduler answers within {CONNECT_SECONDS} s ({error}); start one with "
            "`dask scheduler`, workers with `dask worker ADDRESS`, and give the address that it prints"
        ) from error


def _on_cluster(dataset: xr.Dataset, *, shown: bool) -> xr.Dataset:
    from distributed import progress

    try:
        held = dataset.persist()
    except TypeError as error:
        raise SchedulerError(f"this cannot be sent to other processes: {_origin(error)}") from error
    if shown:
        with contextlib.redirect_stdout(sys.stderr):  # where dask.distributed's bar does not mix with numbers
            progress(held, notebook=False)
    return held.compute()


def _origin(error: BaseException) -> BaseException:
    """Give the error that led to all others: dask.distributed's own says only that something failed."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error
