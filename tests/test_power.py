"""The power study: rows, resuming, and that known errors are seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from calibrated import normal_problem
from PIL import Image

from diffsbi_edu import plots, problems
from diffsbi_edu.benchmark import ERRORS, TESTS, power, power_study, power_table, read_power
from diffsbi_edu.benchmark.__main__ import main
from diffsbi_edu.diagnostics import Error
from diffsbi_edu.errors import NoExactPosterior

GAUSSIAN = problems.Gaussian2D()
SMALL: dict[str, Any] = {"n_sims": [100, 200], "n_samples": 20, "workers": 1, "progress": False}


@pytest.mark.statistical
def test_what_everybody_should_see_is_seen_and_nothing_is_not() -> None:
    """Large errors: power 1. None: 6 p-values below 0.001 by chance once in 170 such tests."""
    errors = {"none": Error(), "half": Error(scale=0.5), "far": Error(shift=1.0)}
    rows = power_study(GAUSSIAN, errors, **{**SMALL, "n_sims": [200]}, repeats=3)
    table = {row["error"]: row for row in power_table(rows)}
    for error in ("half", "far"):
        assert table[error]["sbc"] == table[error]["suite"] == 1.0
    assert min(row[t] for row in rows if row["error"] == "none" for t in TESTS) > 1e-3
    assert all(row["repeats"] == 3 for row in table.values())


def test_rows_are_reproducible_and_do_not_depend_on_what_else_is_run() -> None:
    error = {"narrow": Error(scale=0.8)}
    alone = power_study(GAUSSIAN, error, **SMALL, repeats=1)
    both = power_study(GAUSSIAN, {"none": Error()} | error, **SMALL, repeats=1)
    same = [row for row in both if row["error"] == "narrow"]
    for a, b in zip(alone, same, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {
            k: v for k, v in b.items() if k != "seconds"
        }


def test_a_study_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "power.csv"
    errors = {"none": Error(), "far": Error(shift=1.0)}
    settings = SMALL | {"path": path}
    real, seen = power.run_repeat, []

    def counting(repeat: Any, **rest: Any) -> Any:
        seen.append(repeat)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(repeat, **rest)

    monkeypatch.setattr(power, "run_repeat", counting)
    assert len(power_study(GAUSSIAN, errors, **settings, repeats=4)) == 8
    assert len(read_power(path)) == 8
    rows = power_study(GAUSSIAN, errors, **settings, repeats=4)
    assert [repeat.number for repeat in seen] == [0, 1, 2, 2, 3]
    monkeypatch.setattr(power, "run_repeat", real)
    fresh = power_study(GAUSSIAN, errors, **SMALL, repeats=4)
    assert [r["suite"] for r in rows] == [r["suite"] for r in fresh]
    assert power_study(GAUSSIAN, errors, **settings, repeats=4) == rows  # all from the file
    more = power_study(GAUSSIAN, errors | {"flip": Error(flip=True)}, **settings, repeats=4)
    assert len(seen) == 5  # counting was off; but only the new cells were run:
    assert [r for r in more if r["error"] != "flip"] == rows


def test_two_processes_find_the_same(tmp_path: Path) -> None:
    errors = {"far": Error(shift=1.0)}
    settings = {**SMALL, "n_sims": [100]}
    one = power_study(GAUSSIAN, errors, **settings, repeats=2)
    two = power_study(GAUSSIAN, errors, **{**settings, "workers": 2}, repeats=2)
    for a, b in zip(one, two, strict=True):
        assert a["sbc"] == b["sbc"]
        assert a["suite"] == pytest.approx(b["suite"], rel=0.2)  # classifiers: rounding differs


@pytest.mark.parametrize(
    "bad",
    [
        {"errors": {}}, {"n_sims": [50]}, {"n_sims": []}, {"n_samples": 3}, {"repeats": 0},
        {"workers": 0},
    ],
)  # fmt: skip
def test_impossible_settings(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"≥ 100|workers"):
        power_study(GAUSSIAN, **{**SMALL, "repeats": 1, **bad})


def test_needs_an_exact_posterior_and_its_own_table(tmp_path: Path) -> None:
    with pytest.raises(NoExactPosterior):
        power_study(normal_problem(), **SMALL)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="not the table of a power study"):
        power_study(GAUSSIAN, **SMALL, path=other)
    with pytest.raises(ValueError, match="at least one row"):
        power_table([])


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "power"
    arguments = ["power", "--problem", "gaussian_2d", "--errors", "none", "the prior"]
    arguments += ["--sims", "100", "--draws", "20", "--repeats", "1", "--workers", "1"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert "2 of 2 rows" in capsys.readouterr().out
    with Image.open(out / "power.png") as image:
        assert min(image.size) > 200
    assert main([*arguments, "--out", str(out), "--sims", "20"]) == 2
    assert "n_sims ≥ 100" in capsys.readouterr().err


def test_the_ladder_has_all_kinds_of_error() -> None:
    kinds = {
        name for e in ERRORS.values() for name, v in vars(e).items() if v != vars(Error())[name]
    }
    assert kinds == set(vars(Error()))


def test_figure() -> None:
    rows = [
        {"error": e, "n_sims": n, "sbc": s, "suite": 1.0}
        for e in ("a", "b")
        for n, s in ((300, 0.5), (100, 0.1))
    ]
    figure = plots.power(rows, ["sbc", "suite"])
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    line = figure.axes[0].lines[0]
    assert list(line.get_xdata()) == [100, 300]  # in order, whatever that of the rows
    with pytest.raises(ValueError, match="columns"):
        plots.power(rows, ["tarp"])
