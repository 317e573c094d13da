"""Studies that compare methods, one row a run: see `python -m diffsbi_edu.benchmark --help`."""

from diffsbi_edu.benchmark.cases import BUDGETS, CASES, Budget, Case, Method
from diffsbi_edu.benchmark.cases import METHODS as SUITE_METHODS
from diffsbi_edu.benchmark.comparison import Comparison, compare, differences, even_chance
from diffsbi_edu.benchmark.power import ERRORS, TESTS, power_study, power_table, read_power
from diffsbi_edu.benchmark.report import Report
from diffsbi_edu.benchmark.results import read_results, write_results
from diffsbi_edu.benchmark.stability import (
    read_table,
    stability_study,
    summary,
    trials,
    write_table,
)
from diffsbi_edu.benchmark.suite import plan, run_suite
from diffsbi_edu.benchmark.table import MethodTable
from diffsbi_edu.benchmark.trial import METHODS, Judge, Outcome, Trial, run_trial

__all__ = [
    "BUDGETS",
    "Budget",
    "CASES",
    "Case",
    "Comparison",
    "Method",
    "Report",
    "SUITE_METHODS",
    "compare",
    "differences",
    "even_chance",
    "plan",
    "read_results",
    "run_suite",
    "write_results",
    "ERRORS",
    "METHODS",
    "Judge",
    "MethodTable",
    "Outcome",
    "TESTS",
    "Trial",
    "power_study",
    "power_table",
    "read_power",
    "read_table",
    "run_trial",
    "stability_study",
    "summary",
    "trials",
    "write_table",
]
