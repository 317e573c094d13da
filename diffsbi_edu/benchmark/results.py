"""The suite's results on disk: one row a run, of one format and one version only."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diffsbi_edu.benchmark.cases import CASES, METHODS
from diffsbi_edu.benchmark.rows import Row, read_rows, write_rows
from diffsbi_edu.benchmark.run_case import PLACE_FIELDS, RESULT_FIELDS, RUN_FIELDS

FORMAT = 2
COLUMNS = ("format", *RUN_FIELDS, *RESULT_FIELDS, *PLACE_FIELDS)
#: Columns that are the same wherever and whenever a run is made (on one version of torch).
REPEATABLE = (
    *RUN_FIELDS, "status", "parameters", "last_loss", "c2st", "c2st_worst", "marginal_ks", "sbc_ks",
    "sbc_tv", "sbc_hellinger", "sbc_wasserstein", "sbc_ks_worst", "sbc_p", "tarp_area", "tarp_p",
    "contraction", "dropped",
)  # fmt: skip
_TEXT = {"problem", "method", "budget", "status", "reason", *PLACE_FIELDS}
_WHOLE = {"format", "seed", "steps", "parameters", "n_sims", "n_samples", "draws"}


def key(row: Row) -> tuple[Any, ...]:
    """What identifies a run."""
    return tuple(row[column] for column in RUN_FIELDS)


def write_results(path: str | Path, rows: Iterable[Row]) -> None:
    """Write the rows, in the order of problems, methods and seeds, whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be made; an older file stays as it was.
    """
    order = {name: i for i, name in enumerate([*CASES, *METHODS])}

    def place(row: Row) -> tuple[Any, ...]:
        return (
            order.get(row["problem"], -1),
            row["budget"],
            order.get(row["method"], -1),
            row["seed"],
        )

    write_rows(path, [{"format": FORMAT} | row for row in sorted(rows, key=place)], COLUMNS)


def read_results(path: str | Path, *, version: str | None = None) -> list[Row]:
    """The rows of a results file, numbers as numbers.

    Args:
        path: the file.
        version: of this package that the rows must come from; None for any, as long as it is one.

    Raises:
        ValueError: the file holds something else, is of another format, or mixes or differs in
            versions: results of two versions are never put into one table.
    """
    with open(path, newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file), {})
    found = first.get("format")
    if found is not None and found != str(FORMAT):
        raise ValueError(
            f"{path} is a results file of format {found}; this version reads and writes format "
            f"{FORMAT}. Keep it, and give another folder (--out)."
        )
    rows = read_rows(path, COLUMNS, "benchmark", _parsed)
    versions = sorted({row["version"] for row in rows} | ({version} if version else set()))
    if len(versions) > 1:
        raise ValueError(
            f"{path} would mix results of versions {' and '.join(versions)} of diffsbi_edu, which "
            "cannot be compared: give another folder (--out), or move the old file away."
        )
    for row in rows:
        del row["format"]
    return rows


def _parsed(column: str, cell: str | None) -> Any:
    if column in _TEXT:
        return cell or ""
    try:
        return int(cell or "") if column in _WHOLE else float(cell or "nan")
    except ValueError:
        raise ValueError(f"the column {column} holds {cell!r}, which is no number.") from None
