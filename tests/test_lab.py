"""`CalibrationLab`: what spoils a posterior is noticed by whom it should be, live."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from calibrated import normal_problem

from diffsbi_edu import problems
from diffsbi_edu.diagnostics import Error
from diffsbi_edu.errors import NoExactPosterior
from diffsbi_edu.widgets import CalibrationLab

pytestmark = pytest.mark.statistical


@pytest.fixture(scope="module")
def bench() -> Iterator[CalibrationLab]:
    bench = CalibrationLab(n_sims=600, n_samples=40)
    assert bench.join(120)
    yield bench
    bench.close()


def verdicts(bench: CalibrationLab) -> dict[str, float]:
    assert bench.join(60)
    assert bench.result is not None
    return bench.result.p_values


def test_nothing_is_noticed_where_nothing_is_wrong(bench: CalibrationLab) -> None:
    bench.mend.click()
    assert min(verdicts(bench).values()) > 0.001
    assert "passes" in bench.scoreboard.value
    assert bytes(bench.image.value).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "value"),
    [("shift", 0.4), ("scale", 0.7), ("drop", 1.0), ("ignore", 1.0), ("flip", True)],
)
def test_every_slider_is_noticed(bench: CalibrationLab, name: str, value: float) -> None:
    bench.mend.click()
    before = bench.image.value
    bench.controls[name].value = value
    found = verdicts(bench)
    assert min(found.values()) < 1e-4
    assert bench.result is not None
    assert bench.result.p_value < 1e-3
    assert bench.image.value != before
    assert "notices" in bench.scoreboard.value
    if name == "ignore":  # the lesson of the whole dashboard
        assert found["sbc"] > 1e-3
        assert found["tarp, random references"] > 1e-3
        assert abs(bench.result.contraction) < 0.05


def test_mend_and_another_data_set(bench: CalibrationLab) -> None:
    bench.controls["shift"].value = 1.0
    bench.mend.click()
    assert bench.join(60)
    assert bench.error == Error()
    before = bench.image.value
    bench.observation.value = 7
    assert bench.join(60)
    assert bench.image.value != before


def test_a_start_that_is_already_wrong() -> None:
    started = CalibrationLab(
        problems.Gaussian2D(), n_sims=200, n_samples=20, error=Error(scale=0.5)
    )
    assert started.controls["scale"].value == 0.5
    assert min(verdicts(started).values()) < 1e-4
    started.close()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="n_sims ≥ 100"):
        CalibrationLab(n_sims=50)
    with pytest.raises(ValueError, match="two parameters"):
        CalibrationLab(problems.WitchsHat(1))
    with pytest.raises(NoExactPosterior):
        CalibrationLab(normal_problem())
