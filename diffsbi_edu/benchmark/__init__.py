"""Studies that compare methods, one row a run: see `python -m diffsbi_edu.benchmark --help`."""

from diffsbi_edu.benchmark.stability import (
    read_table,
    stability_study,
    summary,
    trials,
    write_table,
)
from diffsbi_edu.benchmark.table import MethodTable
from diffsbi_edu.benchmark.trial import METHODS, Judge, Outcome, Trial, run_trial

__all__ = [
    "METHODS",
    "Judge",
    "MethodTable",
    "Outcome",
    "Trial",
    "read_table",
    "run_trial",
    "stability_study",
    "summary",
    "trials",
    "write_table",
]
