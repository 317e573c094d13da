"""Simulators that sometimes fail: rows dropped, replaced and counted, up to a stated share."""

from __future__ import annotations

import math

import pytest
import torch
from references import box_problem
from torch.distributions import Independent, Uniform

import diffsbi_edu as ds
from diffsbi_edu import ConditionalDiffusion, Problem, SimulationError, fit

PRIOR = box_problem().prior


def fragile(share: float, max_failed: float) -> Problem:
    """Fails for the lowest `share` of the first parameter, which is uniform on (0, 1)."""
    prior = Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)

    def simulator(theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        x = theta[:, None] + 0.1 * torch.randn(len(theta), n_obs, 2)
        return torch.where(theta[:, None, :1] < share, math.nan, x)

    return Problem(prior, simulator, n_obs=(2, 9), name="fragile", max_failed=max_failed)


def test_rows_that_fail_are_replaced_and_counted() -> None:
    problem = fragile(0.1, max_failed=0.2)
    theta, x = problem.sample(5000, seed=0, device="cpu")
    assert torch.isfinite(x).all()
    assert len(x) == len(theta) == 5000
    assert float(theta[:, 0].min()) >= 0.1  # the prior given success, as documented
    assert float((x.mean(1) - theta).abs().max()) < 0.6  # each row's data are its own
    failed, made = problem.failures
    assert made == 5000 + failed
    assert 0.08 < failed / made < 0.12
    again = fragile(0.1, max_failed=0.2).sample(5000, seed=0, device="cpu")
    assert torch.equal(again[0], theta)
    assert torch.equal(again[1], x)


def test_too_many_failures_stop() -> None:
    problem = fragile(0.3, max_failed=0.2)
    with pytest.raises(SimulationError, match=r"more than max_failed = 20\.0%; the last for theta"):
        problem.sample(1000, seed=0, device="cpu")


def test_small_batches_are_judged_together() -> None:
    problem = fragile(0.3, max_failed=0.2)

    def many() -> None:
        for seed in range(200):
            problem.sample(8, seed=seed, device="cpu")

    problem.sample(8, seed=0, device="cpu")  # three failures of eleven prove nothing yet
    with pytest.raises(SimulationError, match="max_failed"):
        many()


def test_a_simulator_that_always_fails_stops_at_once() -> None:
    with pytest.raises(SimulationError, match="max_failed"):
        fragile(1.0, max_failed=0.9).sample(1000, seed=0, device="cpu")


def test_training_goes_on_over_failures() -> None:
    problem = fragile(0.05, max_failed=0.1)
    model = ConditionalDiffusion(
        problem, encoder=ds.encoders.DeepSets(2, 8, seed=0), width=16, depth=1, seed=0, device="cpu"
    )
    history = fit(model, 20, batch_size=64, seed=0, progress=False)
    assert len(history) == 20
    assert all(math.isfinite(loss) for loss in history.losses)
    assert problem.failures[0] > 0


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_max_failed_must_be_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="max_failed, a share"):
        Problem(PRIOR, lambda theta: theta, max_failed=share)
