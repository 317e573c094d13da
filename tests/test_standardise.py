"""Units of data: heavy tails must not crush what is in the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import small_model
from torch.distributions import Independent, Normal

import diffsbi_edu as ds
from diffsbi_edu import Problem
from diffsbi_edu.problems import DirichletLaplace
from diffsbi_edu.runtime import make_generator, randomness_from
from diffsbi_edu.standardise import StandardiseData, StandardiseLatent, soft_clip


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


def spike_and_normal(n: int = 4000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(n, 2, generator=generator)
    return torch.stack([normal[:, 0] ** 5 + 7, 3 * normal[:, 1] - 2], 1)


def test_a_spike_with_shoulders_is_spread_out() -> None:
    u = spike_and_normal()
    units = StandardiseLatent(2)
    units.fit(u)
    assert units.heavy.tolist() == [True, False]
    z = units(u)
    torch.testing.assert_close(z.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(0), torch.ones(2), atol=1e-3, rtol=0)
    low, high = np.quantile(z[:, 0], [0.16, 0.84])
    assert high - low > 1  # divided by the sd alone: 0.1
    torch.testing.assert_close(units.inverse(z), u, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(z[:, 1], (u[:, 1] - u[:, 1].mean()) / u[:, 1].std(correction=0))


def test_its_density_is_that_of_the_bent_coordinate() -> None:
    u = spike_and_normal().double()
    units = StandardiseLatent(2).double()
    units.fit(u)
    some = u[:50].clone().requires_grad_()
    slopes = torch.autograd.grad(units(some).sum(), some)[0]  # each z of its own u alone
    torch.testing.assert_close(units.log_abs_det(some.detach()), slopes.log().sum(1))


def test_far_latents_come_back_finite() -> None:
    units = StandardiseLatent(2)
    units.fit(spike_and_normal())
    z = torch.tensor([[1e4, 1e4], [-1e4, -1e4]])
    assert torch.isfinite(units.inverse(z)).all()


def test_a_model_of_a_shrinkage_prior_saves_its_bend(tmp_path: Path) -> None:
    problem = DirichletLaplace(means=3)
    model = small_model(problem).standardise(seed=0)
    assert model.to_latent.standardise.heavy.tolist() == [True, True, True, False, False]
    model.save(tmp_path / "model.safetensors")
    again = ds.load(tmp_path / "model.safetensors", device="cpu")
    theta = problem.sample_prior(100, seed=1, device="cpu")
    assert torch.equal(again.to_latent(theta), model.to_latent(theta))
