"""Units of data: heavy tails must not crush what is in the middle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import small_model
from torch.distributions import Independent, Normal

from diffsbi_edu import Problem
from diffsbi_edu.runtime import make_generator, randomness_from
from diffsbi_edu.standardise import StandardiseData, soft_clip


def heavy_tailed(n_obs: int = 50) -> Problem:
    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)

    def simulate(theta: torch.Tensor) -> torch.Tensor:
        noise = torch.distributions.Cauchy(0.0, 1.0).sample((len(theta), n_obs, 1))
        return torch.cat([theta[:, None] + noise, theta[:, None] + noise.clamp(-1, 1)], -1)

    return Problem(prior, simulate, name="Cauchy")


def test_heavy_tails_do_not_crush_the_rest() -> None:
    problem = heavy_tailed()
    model = small_model(problem).standardise(seed=0)
    units = model.standardise_x
    assert units.heavy.tolist() == [True, False]
    x = problem.sample(1000, seed=1, device="cpu")[1]
    z = units(x)
    low, high = np.quantile(z[..., 0], [0.16, 0.84])
    assert 1.8 < high - low < 2.2
    assert z.abs().max() < 200
    assert torch.allclose(units.inverse(z), x, rtol=1e-3, atol=1e-4)
    assert torch.equal(z[..., 1], (x[..., 1] - units.mean[1]) / units.scale[1])


@pytest.mark.parametrize(
    ("law", "heavy"),
    [
        (torch.distributions.Normal(3.0, 2.0), False),
        (torch.distributions.Uniform(-1.0, 5.0), False),
        (torch.distributions.Exponential(2.0), False),
        (torch.distributions.Laplace(0.0, 1.0), False),
        (torch.distributions.StudentT(5.0), False),
        (torch.distributions.Poisson(0.05), False),  # nearly all zeros: only the sd is left
        (torch.distributions.Bernoulli(0.5), False),
        (torch.distributions.Cauchy(0.0, 1.0), True),
        (torch.distributions.Pareto(1.0, 0.8), True),
        (torch.distributions.LogNormal(0.0, 2.5), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_which_tails_are_heavy(law: torch.distributions.Distribution, heavy: bool) -> None:
    with randomness_from(make_generator(0)):
        x = law.sample((20_000, 1))
    units = StandardiseData(1)
    units.fit(x)
    assert units.heavy.tolist() == [heavy]
    if not heavy:
        assert torch.allclose(units.mean, x.mean())
        assert torch.allclose(units.scale, x.std(correction=0))
    assert units(x).isfinite().all()


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(FINITE, FINITE)
def test_a_soft_clip_keeps_the_order(a: float, b: float) -> None:
    low, high = soft_clip(torch.tensor([min(a, b), max(a, b)]))
    assert low <= high
    if abs(a) <= 10:
        assert float(soft_clip(torch.tensor(a))) == a
