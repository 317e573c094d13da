"""To ArviZ and back: the same numbers under its names."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from diffsbi_edu import problems
from diffsbi_edu.diagnostics import SBCResult, calibration_to_arviz, to_arviz

arviz = pytest.importorskip("arviz", reason="make setup installs the extra `arviz`")


def test_posterior_draws_are_the_same() -> None:
    problem = problems.Gaussian2D()
    _, x = problem.sample(1, seed=0, device="cpu")
    samples = problem.posterior(x[0]).sample((500,), seed=1)
    prior = problem.sample_prior(40, seed=2, device="cpu")
    replicated = problem.simulate(samples, seed=3)
    data = to_arviz(samples, problem.theta_names, prior=prior, x_obs=x[0], replicated=replicated)
    for i, name in enumerate(problem.theta_names):
        np.testing.assert_array_equal(data["posterior"][name].values, samples[None, :, i])
        np.testing.assert_array_equal(data["prior"][name].values, prior[None, :, i])
    np.testing.assert_array_equal(data["observed_data"]["x"].values, x[0])
    np.testing.assert_array_equal(data["posterior_predictive"]["x"].values, replicated[None])
    summary = arviz.summary(data, kind="stats", round_to="none")
    assert list(summary["mean"]) == pytest.approx(samples.mean(0).tolist(), abs=1e-5)
    assert list(summary["sd"]) == pytest.approx(samples.std(0).tolist(), abs=1e-4)


def test_ranks_can_be_found_again() -> None:
    generator = torch.Generator().manual_seed(0)
    theta, samples = (
        torch.randn(30, 2, generator=generator), torch.randn(19, 30, 2, generator=generator),
    )  # fmt: skip
    data = calibration_to_arviz(theta, samples, ["a", "b"])
    ranks = SBCResult.from_draws(theta, samples).ranks
    for i, name in enumerate(("a", "b")):
        draws = data["posterior_predictive"][name].values[0]
        truths = data["observed_data"][name].values
        np.testing.assert_array_equal((draws < truths).sum(0), ranks[:, i])


def test_unnamed() -> None:
    assert set(to_arviz(torch.zeros(3, 2))["posterior"].data_vars) == {"theta 1", "theta 2"}
    found = calibration_to_arviz(torch.zeros(4, 1), torch.zeros(3, 4, 1))
    assert set(found["observed_data"].data_vars) == {"theta 1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": torch.zeros(3)}, r"\(n, D\)"),
        ({"names": ["a"]}, "2 different names"),
        ({"names": ["a", "a"]}, "2 different names"),
        ({"prior": torch.zeros(4, 3)}, r"\(m, 2\)"),
        ({"x_obs": torch.zeros(3)}, r"\(N, F\)"),
        ({"replicated": torch.zeros(4, 1, 2)}, "one data set for each draw"),
        ({"replicated": torch.zeros(3, 1, 2), "x_obs": torch.zeros(1, 3)}, "x_obs is"),
    ],
)
def test_bad_input(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_arviz(**{"samples": torch.zeros(3, 2), **arguments})


def test_swapped_axes_and_bad_names() -> None:
    with pytest.raises(ValueError, match="look swapped"):
        calibration_to_arviz(torch.zeros(4, 1), torch.zeros(4, 3, 1))
    with pytest.raises(ValueError, match="1 different names"):
        calibration_to_arviz(torch.zeros(4, 1), torch.zeros(3, 4, 1), ["a", "b"])


def test_without_arviz_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match=r"pip install 'diffsbi-edu\[arviz\]'"):
        to_arviz(torch.zeros(3, 2))
