"""The noised prior: closed forms where there are some, quadrature where there are none."""

from __future__ import annotations

import math

import pytest
import torch
from references import grid_2d, small_model
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Poisson,
    Uniform,
)

from diffsbi_edu import Problem, problems
from diffsbi_edu.noised_prior import NoisedPrior, normal_nodes
from diffsbi_edu.transforms import ToLatent

LEVELS = (0.001, 0.01, 0.05, 0.3, 1.0, 20.0)


def mixture_problem(dim: int = 2) -> Problem:
    """A prior that the library does not map to N(0, I)."""
    means = torch.zeros(2, dim)
    means[:, 0] = torch.tensor([-1.0, 1.0])
    variances = torch.tensor([[0.3], [0.5]]).expand(2, dim)
    pieces = MultivariateNormal(means, torch.diag_embed(variances))
    prior = MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7])), pieces)
    return Problem(prior, lambda theta: theta + torch.randn_like(theta), name="mixture")


def fitted(problem: Problem) -> ToLatent:
    to_latent = ToLatent(problem.prior)
    to_latent.fit(problem.sample_prior(5000, seed=0, device="cpu"))
    return to_latent


def mixture_denoiser(
    problem: Problem, to_latent: ToLatent, y: torch.Tensor, r: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """E[z | y] and Cov[z | y] of the mixture, each piece by linear regression, in float64."""
    m, s = to_latent.standardise.mean.double(), to_latent.standardise.scale.double()
    pieces = problem.prior.component_distribution
    mean = (pieces.loc.double() - m) / s
    own = pieces.covariance_matrix.double() / (s[:, None] * s)
    noisy = own + r**2 * torch.eye(len(m), dtype=torch.float64)
    y = y.double()
    log_w = MultivariateNormal(mean, noisy).log_prob(y[:, None])
    w = (log_w + problem.prior.mixture_distribution.probs.double().log()).softmax(-1)
    gain = own @ noisy.inverse()
    each = mean + torch.einsum("kde,rke->rkd", gain, y[:, None] - mean)
    covariance = r**2 * gain  # Cov = own (own + r²)⁻¹ r²
    centre = (w[..., None] * each).sum(1)
    spread = each - centre[:, None]
    outer = spread[..., None] * spread[..., None, :]
    return centre, (w[..., None, None] * (covariance + outer)).sum(1)


@pytest.mark.parametrize("r", LEVELS)
def test_of_a_normal_latent_prior_it_is_the_closed_form(r: float) -> None:
    problem = problems.Gaussian2D()
    prior = NoisedPrior(problem, fitted(problem))
    assert prior.exact
    y = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    mean, covariance = prior.with_covariance(y, r)
    torch.testing.assert_close(mean, y / (1 + r**2))
    torch.testing.assert_close(prior(y, r), mean)
    torch.testing.assert_close(covariance, (r**2 / (1 + r**2) * torch.eye(2)).expand(3, 4, 2, 2))


@pytest.mark.parametrize("r", LEVELS)
@pytest.mark.parametrize("dim", [1, 2])
def test_of_a_mixture_it_agrees_with_the_closed_form(dim: int, r: float) -> None:
    problem = mixture_problem(dim)
    to_latent = fitted(problem)
    prior = NoisedPrior(problem, to_latent)
    assert not prior.exact
    generator = torch.Generator().manual_seed(1)
    z = to_latent(problem.sample_prior(300, seed=5, device="cpu"))
    y = (z + r * torch.randn(z.shape, generator=generator)).double()
    mean, covariance = prior.with_covariance(y, r)
    exact_mean, exact_covariance = mixture_denoiser(problem, to_latent, y, r)
    torch.testing.assert_close(prior(y, r), mean)
    score, exact = ((found - y) / r**2 for found in (mean, exact_mean))
    error = (score - exact).square().mean().sqrt()
    assert error < 0.02 * exact.square().mean().sqrt()
    scale = exact_covariance.flatten(1).norm(dim=1)
    off = (covariance.double() - exact_covariance).flatten(1).norm(dim=1) / scale
    assert off.mean() < 0.08  # at large r it is the covariance of 512 draws, known to 6 %


def test_the_latent_density_integrates_to_one() -> None:
    """NormalGamma's prior has a logarithm in its map: the Jacobian must be right."""
    problem = problems.NormalGamma(n_obs=1)
    prior = NoisedPrior(problem, fitted(problem))
    z, cell = grid_2d([-14.0, -7.0], [14.0, 9.0], 500)
    assert float(prior.log_density(z.float()).exp().sum()) * cell == pytest.approx(1, abs=2e-3)
    normal = NoisedPrior(problems.Gaussian2D(), fitted(problems.Gaussian2D()))
    at_0 = normal.log_density(torch.zeros(2))
    assert float(at_0) == pytest.approx(-math.log(2 * math.pi))


def test_far_from_the_prior_it_stays_finite() -> None:
    problem = problems.NormalGamma(n_obs=1)
    prior = NoisedPrior(problem, fitted(problem))
    for r in LEVELS:
        mean, covariance = prior.with_covariance(torch.tensor([[30.0, -30.0], [-11.0, 11.0]]), r)
        assert torch.isfinite(mean).all()
        assert torch.isfinite(covariance).all()


def test_in_pieces_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = mixture_problem()
    prior = NoisedPrior(problem, fitted(problem))
    y = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    whole = prior.with_covariance(y, 0.3)
    monkeypatch.setattr("diffsbi_edu.noised_prior.ROWS_AT_ONCE", 7 * 2 * 512)
    for one, other in zip(prior.with_covariance(y, 0.3), whole, strict=True):
        torch.testing.assert_close(one, other)


def test_nodes_touch_no_random_state_and_are_even() -> None:
    state = torch.random.get_rng_state()
    nodes = normal_nodes(129, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert nodes.shape == (130, 3)
    assert nodes.mean(0).abs().max() < 1e-6
    with pytest.raises(ValueError, match="more than 6 nodes"):
        normal_nodes(6, 3)


def test_priors_that_it_cannot_do_are_refused() -> None:
    five = mixture_problem(5)
    with pytest.raises(ValueError, match="has 5 dimensions"):
        NoisedPrior(five, fitted(five))
    counts = Problem(
        Independent(Poisson(torch.tensor([3.0, 4.0])), 1),
        lambda theta: theta + torch.randn_like(theta),
        name="counts",
    )
    with pytest.raises(ValueError, match="discrete parameters"):
        NoisedPrior(counts, fitted(counts))


def test_a_box_is_normal_in_the_latent_space() -> None:
    box = Independent(Uniform(-torch.ones(6), torch.ones(6)), 1)
    problem = Problem(box, lambda theta: theta + torch.randn_like(theta))
    assert NoisedPrior(problem, small_model(problem).to_latent).exact
