"""What the package says that its own suite found."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from diffsbi_edu.benchmark.results import read_results
from diffsbi_edu.cases import CASES, METHODS
from diffsbi_edu.findings import FILE, findings

HEAD = "problem,method,seed,status,sbc_ks,c2st,n_sims,n_samples\n"


def test_the_record_is_a_results_file_of_the_suite() -> None:
    rows = read_results(FILE)
    assert {row["problem"] for row in rows} <= set(CASES)
    assert {row["method"] for row in rows} <= set(METHODS)
    assert {row["budget"] for row in rows} == {"laptop"}


@pytest.mark.parametrize("problem", CASES)
def test_every_problem_has_a_record(problem: str) -> None:
    found = findings(problem)
    assert "diffusion" in [one.method for one in found]
    with open(FILE, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["problem"] == problem]
    rows = [row for row in rows if row["status"] == "ok"]
    methods = {row["method"] for row in rows}
    seeds = {row["seed"] for row in rows}
    shared = {s for s in seeds if {row["method"] for row in rows if row["seed"] == s} == methods}
    assert shared
    for one in found:
        mine = [row for row in rows if row["method"] == one.method and row["seed"] in shared]
        assert one.runs == len(mine)
        assert one.sbc_ks == pytest.approx(sum(float(r["sbc_ks"]) for r in mine) / len(mine))


def test_averages_are_of_the_seeds_that_all_methods_have(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        HEAD + "a,maf,0,ok,0.02,nan,400,30\na,maf,1,ok,0.04,nan,400,30\n"
        "a,nsf,1,ok,0.05,0.6,400,30\na,nsf,2,ok,0.5,0.9,400,30\n"
        "b,maf,0,ok,0.02,nan,400,30\nb,nsf,1,ok,0.05,0.6,400,30\n"
    )
    assert [(f.runs, f.sbc_ks) for f in findings("a", path)] == [(1, 0.04), (1, 0.05)]
    assert [(f.runs, f.sbc_ks) for f in findings("b", path)] == [(1, 0.02), (1, 0.05)]


def test_averages_leave_out_what_did_not_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        HEAD + "a,maf,0,ok,0.02,nan,400,30\na,maf,1,ok,0.04,nan,400,30\n"
        "a,maf,2,diverged,9,9,0,0\na,nsf,0,ok,1,0.6,100,25\na,nsf,1,ok,1,0.6,90,20\n"
    )
    maf, nsf = findings("a", path)
    assert (maf.method, maf.runs, maf.c2st) == ("maf", 2, None)
    assert maf.sbc_ks == pytest.approx(0.03)
    assert (maf.n_sims, maf.n_samples, nsf.n_sims, nsf.n_samples) == (400, 30, 100, 25)
    assert (nsf.sbc_ks, nsf.c2st) == (1.0, 0.6)
    assert findings("b", path) == []
