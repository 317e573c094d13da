"""What every study needs: rows kept on disk as they come, and a pool of one-core processes."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

Row = dict[str, Any]
Job = TypeVar("Job")
Result = TypeVar("Result")


def write_rows(path: str | Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Write rows as CSV, whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be made; an older file stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", newline="", encoding="utf-8", dir=path.parent, suffix=".tmp", delete=False
    ) as file:
        try:
            writer = csv.DictWriter(file, list(columns), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)


def read_rows(
    path: str | Path, columns: Sequence[str], study: str, parse: Callable[[str, str | None], Any]
) -> list[Row]:
    """The rows of a study's CSV file.

    Args:
        path: the file.
        columns: that it must have, in order.
        study: what to call it in the error.
        parse: (column, cell) → value.

    Raises:
        ValueError: the file is not such a table.
    """
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != list(columns):
            raise ValueError(
                f"{path} is not the table of a {study} study (its columns are "
                f"{reader.fieldnames}); give another path."
            )
        return [{column: parse(column, cell) for column, cell in row.items()} for row in reader]


def in_parallel(
    todo: Sequence[Job], work: Callable[[Job], Result], workers: int
) -> Iterator[tuple[Job, Result]]:
    """Every job and its result, as they finish.

    Args:
        todo: the jobs; with several workers, jobs, results and `work` must be picklable.
        work: what to do with each.
        workers: processes, each computing on one core; one works here, on all of them.

    Raises:
        ChildProcessError: a worker died; the jobs that had not been given back are lost.
    """
    if workers == 1 or len(todo) < 2:
        for job in todo:
            yield job, work(job)
        return
    # Fresh processes, not forks: a fork of a process whose torch has threads can hang.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin_work)
    try:
        waiting: dict[Future[Result], Job] = {pool.submit(work, job): job for job in todo}
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            f"one of {workers} worker processes was killed from outside, most likely because "
            "memory ran out. What was finished by then is kept, and the same command goes on from "
            "there; with fewer workers (--workers 1) it needs less memory."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def workers_for(device: str) -> int:
    """Processes if the user names no number: one a core on the CPU, one on a GPU."""
    return (os.cpu_count() or 1) if device == "cpu" else 1


def _begin_work() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)  # NumPy's, which the C2ST's classifier computes with
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would train on for minutes, and nobody would get its row."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
