"""The stability study: every run judged, nothing lost, nothing done twice."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from diffsbi_edu import plots
from diffsbi_edu.benchmark import __main__ as command
from diffsbi_edu.benchmark import read_table, stability, stability_study, summary, trial, trials
from diffsbi_edu.benchmark.stability import COLUMNS, write_table
from diffsbi_edu.benchmark.table import MethodTable
from diffsbi_edu.benchmark.trial import METHODS, Judge, Outcome, Trial, run_trial
from diffsbi_edu.diagnostics import c2st
from diffsbi_edu.problems import Gaussian2D, Problem, WitchsHat

QUICK: dict[str, Any] = {
    "draws": 60, "n_sims": 10, "n_samples": 9, "checks": 1, "workers": 1, "progress": False,
    "device": "cpu",
}  # fmt: skip


def grid(methods: tuple[str, ...] = ("diffusion", "maf"), **settings: Any) -> list[Trial]:
    return trials(methods, lrs=[1e-3], seeds=1, **({"steps": 45, "batch_size": 32} | settings))


@pytest.fixture(autouse=True)
def _quick_c2st(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real classifier, trained briefly; it is tested elsewhere."""
    monkeypatch.setattr(trial, "c2st", partial(c2st, folds=2, max_epochs=10))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """Every trial that is really run."""
    run: list[Trial] = []
    real = stability.run_trial

    def counting(one: Trial, **rest: Any) -> Outcome:
        run.append(one)
        return real(one, **rest)

    monkeypatch.setattr(stability, "run_trial", counting)
    return run


# ------------------------------------------------------------------------------------ the trials


def test_the_grid_is_every_combination_once() -> None:
    found = trials(["nsf", "diffusion"], lrs=[1e-3, 1e-2], depths=[0.5, 1], seeds=2, steps=10)
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 2
    assert {t.depth for t in found if t.method == "nsf"} == {2, 5}
    # 0.1 and 0.3 of 3 blocks are both 1: no run twice.
    assert len(trials(["diffusion"], lrs=[1e-3], depths=[0.1, 0.3], seeds=1)) == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"methods": ["realnvp"]}, "realnvp"),
        ({"methods": []}, "empty"),
        ({"seeds": 0}, "empty"),
        ({"lrs": [-1.0]}, "lr must be positive"),
        ({"steps": 0}, "steps must be positive"),
        ({"steps": None}, "either steps or seconds"),
        ({"steps": 5, "seconds": 5.0}, "either steps or seconds"),
        ({"clip": math.nan}, "clip must be positive"),
    ],
)
def test_impossible_grids(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trials(**bad)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_is_judged(method: str) -> None:
    problem = Gaussian2D()
    judge = Judge.of(problem, None, 60, checks=2, n_sims=10, n_samples=9)
    one = dataclasses.replace(grid((method,))[0], depth=2)
    outcome = run_trial(one, problem, judge, "cpu")
    assert outcome.trained_steps == 45
    assert outcome.reason != "non-finite"
    assert outcome.trained_seconds > 0
    assert 0.4 < outcome.c2st <= 1
    assert 0 < outcome.sbc_ks < 1
    assert math.isfinite(outcome.largest_grad_norm)


def test_a_trial_repeats_with_its_seed() -> None:
    problem = Gaussian2D()
    judge = Judge.of(problem, None, 60, checks=1, n_sims=10, n_samples=9)
    first, again = (run_trial(grid()[0], problem, judge, "cpu") for _ in range(2))
    same = [f for f in dataclasses.asdict(first) if "seconds" not in f]
    assert all(getattr(first, f) == getattr(again, f) for f in same)


def test_a_budget_in_seconds_is_roughly_kept() -> None:
    problem = Gaussian2D()
    judge = Judge.of(problem, None, 60, checks=1, n_sims=0)
    [one] = grid(("diffusion",), steps=None, seconds=1.0)
    outcome = run_trial(one, problem, judge, "cpu")
    assert 0.2 < outcome.trained_seconds < 5  # timed on a machine that is doing other things
    assert math.isnan(outcome.sbc_ks)


def test_a_run_that_becomes_non_finite_is_a_result() -> None:
    problem = WitchsHat(2)
    judge = Judge.of(problem, None, 60, checks=1, n_sims=10, n_samples=9)
    [one] = trials(["maf"], lrs=[1e8], seeds=1, clip=math.inf, steps=500, batch_size=32)
    outcome = run_trial(one, problem, judge, "cpu")
    assert outcome.diverged
    assert outcome.reason == "non-finite"
    assert outcome.trained_steps < 500


def test_a_run_whose_loss_jumps_is_a_result() -> None:
    problem = Gaussian2D()
    judge = Judge.of(problem, None, 60, checks=1, n_sims=0)
    [one] = trials(["diffusion"], lrs=[30.0], seeds=1, clip=math.inf, steps=120, batch_size=32)
    outcome = run_trial(one, problem, judge, "cpu")
    assert outcome.diverged
    assert outcome.reason in ("jump", "non-finite")


def test_without_an_exact_posterior_there_is_no_c2st() -> None:
    problem = Problem(Gaussian2D().prior, lambda theta: theta + torch.randn_like(theta))
    [row] = stability_study(problem, grid(("diffusion",)), **QUICK)
    assert math.isnan(row["c2st"])
    assert math.isfinite(row["sbc_ks"])


# ------------------------------------------------------------------------------- the table on disk


def test_rows_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "study.csv"
    rows = stability_study(Gaussian2D(), grid(), path=path, **QUICK)
    back = read_table(path)
    assert [list(row) for row in back] == [COLUMNS, COLUMNS]
    for row, other in zip(rows, back, strict=True):
        for column in COLUMNS:
            same = row[column] == other[column]
            assert same or (math.isnan(row[column]) and math.isnan(other[column])), column
    assert [p.name for p in path.parent.iterdir()] == ["study.csv"], "no temporary file is left"


def test_a_study_goes_on_where_it_was(tmp_path: Path, counted: list[Trial]) -> None:
    path = tmp_path / "study.csv"
    first = stability_study(Gaussian2D(), grid(("diffusion",)), path=path, **QUICK)
    both = stability_study(Gaussian2D(), grid(("diffusion", "maf")), path=path, **QUICK)
    assert [one.method for one in counted] == ["diffusion", "maf"], "none is run twice"
    assert both[0]["c2st"] == first[0]["c2st"]
    stability_study(Gaussian2D(), grid(("diffusion",), clip=0.5), path=path, **QUICK)
    assert len(counted) == 3, "another setting is another run"
    stability_study(Gaussian2D(2, noise_sd=0.3), grid(("diffusion",)), path=path, **QUICK)
    assert len(counted) == 4, "and so is another problem"
    assert len(read_table(path)) == 4


def test_ctrl_c_keeps_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[Trial]
) -> None:
    path, real = tmp_path / "study.csv", stability.run_trial

    def impatient(one: Trial, **rest: Any) -> Outcome:
        if one.method == "maf":
            raise KeyboardInterrupt
        return real(one, **rest)

    monkeypatch.setattr(stability, "run_trial", impatient)
    rows = stability_study(Gaussian2D(), grid(), path=path, **QUICK)
    assert [row["method"] for row in rows] == ["diffusion"]
    assert len(read_table(path)) == 1
    monkeypatch.setattr(stability, "run_trial", real)
    rows = stability_study(Gaussian2D(), grid(), path=path, **QUICK)
    assert [row["method"] for row in rows] == ["diffusion", "maf"]
    assert [one.method for one in counted] == ["diffusion", "maf"]


def test_foreign_files_are_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    path.write_text("student,points\nada,10\n", encoding="utf-8")
    with pytest.raises(ValueError, match="not the table of a stability study"):
        stability_study(Gaussian2D(), grid(), path=path, **QUICK)
    assert path.read_text(encoding="utf-8") == "student,points\nada,10\n"


def test_a_table_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    write_table(path, [])
    with pytest.raises(ValueError, match="dict contains fields"):
        write_table(path, [{"nonsense": 1}])
    assert read_table(path) == []
    assert [p.name for p in tmp_path.iterdir()] == ["study.csv"]


def test_workers_give_the_same_rows(tmp_path: Path) -> None:
    one = stability_study(Gaussian2D(), grid(), **QUICK)
    two = stability_study(Gaussian2D(), grid(), **(QUICK | {"workers": 2}))
    for a, b in zip(one, two, strict=True):
        # Threads change the order of sums, so the last digits may differ.
        assert a["end_loss"] == pytest.approx(b["end_loss"], rel=1e-3)
        assert (a["method"], a["seed"]) == (b["method"], b["seed"])


@pytest.mark.parametrize("bad", [{"workers": 0}, {"checks": 0}])
def test_impossible_studies(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        stability_study(Gaussian2D(), grid(), **(QUICK | bad))


def test_summary_averages_over_seeds_and_counts_divergence() -> None:
    row = dict.fromkeys(COLUMNS, 1.0) | {"problem": "p", "method": "nsf", "trained_steps": 100}
    rows = [
        row | {"c2st": 0.6, "diverged": False},
        row | {"c2st": 0.8, "diverged": False, "worst_spike": math.nan},
        row | {"c2st": math.nan, "diverged": True},
    ]
    [line] = summary(rows)
    assert line["c2st"] == pytest.approx(0.7)
    assert line["worst_spike"] == 1.0
    assert (line["runs"], line["diverged"]) == (3, pytest.approx(1 / 3))
    assert line["ms_per_step"] == pytest.approx(10.0)


def test_the_table_has_a_line_for_each_method() -> None:
    base = {"depth": 5, "diverged": False, "worst_spike": 0.2, "trained_seconds": 2.0}
    base |= {"trained_steps": 100}
    rows = [
        base | {"method": "nsf", "lr": 1e-3, "c2st": 0.6},
        base | {"method": "nsf", "lr": 1e-3, "c2st": 0.7},
        base | {"method": "nsf", "lr": 1e-2, "c2st": math.nan, "diverged": True},
        base | {"method": "nsf", "lr": 1e-3, "depth": 3, "c2st": 0.9},
        base | {"method": "maf", "lr": 1e-2, "c2st": None, "worst_spike": math.inf},
    ]
    lines = MethodTable(rows).lines
    # The diverged run counts as wholly wrong, at the depth that is best otherwise.
    assert lines[0] == ["nsf", "4", "1", "0.65", "0.001", "0.65–1.00", "0.20", "20.0"]
    assert lines[1] == ["maf", "1", "0", "–", "–", "–", "–", "20.0"]
    with pytest.raises(ValueError, match="at least one row"):
        MethodTable([])


# --------------------------------------------------------------------------- figure and command


def row_of(**settings: Any) -> dict[str, Any]:
    base = {"method": "nsf", "lr": 1e-3, "diverged": False}
    return base | {"c2st": 0.6, "worst_spike": 0.1, "largest_grad_norm": 3.0} | settings


def test_the_figure_shows_every_run_and_marks_the_lost_ones() -> None:
    rows = [
        row_of(), row_of(lr=1e-2, c2st=0.9), row_of(method="diffusion"),
        row_of(lr=1e-2, diverged=True, c2st=math.nan, worst_spike=math.inf),
    ]  # fmt: skip
    figure = plots.stability(rows)
    assert len(figure.axes) == 3
    labels = (
        [text.get_text() for text in figure.legends[0].texts]
        if figure.legends
        else [text.get_text() for text in figure.axes[0].get_legend().texts]
    )
    assert {"nsf", "diffusion"} <= set(labels)


@pytest.mark.parametrize("rows", [[], [{"method": "nsf"}]])
def test_the_figure_of_nothing(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        plots.stability(rows)


def test_the_command_runs_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counted: list[Trial]
) -> None:
    arguments = [
        "stability", "--problem", "gaussian_2d", "--methods", "diffusion", "--lrs", "1e-3",
        "--seeds", "1", "--steps", "45", "--draws", "50", "--sims", "10", "--workers", "1",
        "--out", str(tmp_path), "--device", "cpu",
    ]  # fmt: skip
    assert command.main(arguments) == 0
    out = capsys.readouterr().out
    assert "diffusion" in out
    assert "1 of 1 runs" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["stability.csv", "stability.png"]
    assert command.main(arguments) == 0
    assert len(counted) == 1


def test_the_command_refuses_what_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ["stability", "--lrs", "-1", "--out", str(tmp_path)]
    assert command.main(bad) == 2
    assert "lr must be positive" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["stability", "--problem", "nonsense"])


def test_the_command_is_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "diffsbi_edu.benchmark", "stability", "--help"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "learning rates" in result.stdout
