"""Runs on a cluster, through dask.distributed: the same runs, the same numbers, other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def on_cluster(
    todo: Sequence[Job], work: Callable[[Job], Result], address: str
) -> Iterator[tuple[Job, Result]]:
    """Every job and its result, as they finish, computed by a dask cluster's workers.

    A worker that dies takes no result with it: the scheduler gives its job to another. The workers
    need this package, of this version; one thread each is best (``--nthreads 1``).

    Args:
        todo: the jobs; with `work` and its results they must be picklable.
        work: what to do with each.
        address: of the scheduler, such as ``"tcp://10.0.0.1:8786"``.

    Raises:
        ModuleNotFoundError: dask.distributed is not installed (``pip install
            "diffsbi-edu[cluster]"``).
        OSError: no scheduler answers at the address.
        RuntimeError: the workers have another version of this package.
    """
    try:
        from distributed import Client, as_completed
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a scheduler needs dask.distributed; install it with: pip install "
            '"diffsbi-edu[cluster]", on this machine and on the workers.'
        ) from error
    with Client(address, timeout="10s") as client:
        _check_versions(client.run(_version))
        # pure=False: the same job twice would be two jobs. A job whose worker died is tried again.
        futures = {client.submit(work, job, pure=False, retries=2): job for job in todo}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            client.cancel(list(futures))


def _version() -> str:
    return metadata.version("diffsbi-edu")


def _check_versions(workers: dict[str, Any]) -> None:
    others = {worker: v for worker, v in workers.items() if v != _version()}
    if others:
        raise RuntimeError(
            f"the workers {', '.join(others)} have diffsbi_edu {', '.join(others.values())}, this "
            f"machine has {_version()}: install the same everywhere."
        )
