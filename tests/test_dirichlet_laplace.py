"""DirichletLaplace: prior against its story, posterior against importance sampling and SBC."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from ranks import calibrated, p_values
from references import KS_ALPHA, small_model
from scipy import integrate, stats

import diffsbi_edu as ds
from diffsbi_edu.problems import DirichletLaplace
from diffsbi_edu.problems.shrinkage import ShrinkagePosterior, _masses, scale_tables
from diffsbi_edu.transforms import ToLatent

A = 1 / math.sqrt(20)


def story(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """theta (count, n + 2) as the model is written down: tau, delta, lambda, mu, sigma."""
    tau = rng.gamma(n * A, 2, size=count)
    delta = rng.dirichlet(np.full(n, A), size=count)
    scale = tau[:, None] * delta * rng.exponential(size=(count, n))
    sigma = stats.invgamma(100, scale=100).rvs(count, random_state=rng) ** 0.5
    return np.column_stack([rng.normal(size=(count, n)) * scale, tau, sigma])


@pytest.mark.statistical
def test_prior_and_simulator_are_the_story() -> None:
    """Kolmogorov–Smirnov at 1e-4 each: tau, sigma, one mean, and quantities of them together."""
    problem, rng = DirichletLaplace(100), np.random.default_rng(0)
    theta, x = problem.sample(8000, seed=0, device="cpu")
    assert x.shape == (8000, 1, 100)
    ours, told = theta.double().numpy(), story(100, 8000, rng)
    assert stats.kstest(ours[:, 100], stats.gamma(100 * A, scale=2).cdf).pvalue > KS_ALPHA
    assert stats.kstest(ours[:, 101] ** 2, stats.invgamma(100, scale=100).cdf).pvalue > KS_ALPHA
    for quantity in (
        lambda t: np.log(np.abs(t[:, 0]) + 1e-30),
        lambda t: np.abs(t[:, :100]).sum(1) / t[:, 100],
        lambda t: np.abs(t[:, :100]).max(1),
        lambda t: (np.abs(t[:, :100]) > 0.1).sum(1) + rng.uniform(size=len(t)),
        lambda t: t[:, 3] / t[:, 100],
    ):
        assert stats.ks_2samp(quantity(ours), quantity(told)).pvalue > KS_ALPHA
    noise = (x[:, 0].double().numpy() - ours[:, :100]) / ours[:, 101:]
    assert stats.kstest(noise[:, :20].ravel(), stats.norm.cdf).pvalue > KS_ALPHA


@pytest.mark.parametrize("x", [0.0, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("sigma", [0.8, 1.3])
def test_marginal_of_one_observation_by_scipy(x: float, sigma: float) -> None:
    tables = scale_tables(A)
    log_sigma = torch.tensor([math.log(sigma)]).double()
    ours = [
        float(_masses(torch.tensor([x]).double(), log_sigma, w, mass).sum())
        for w, mass in ((tables.fine, tables.fine_mass), (tables.coarse, tables.coarse_mass))
    ]
    line_psi, line_lambda = np.linspace(-60, 4.4, 700), np.linspace(-14, 3.8, 250)
    psi, lam = np.exp(line_psi)[:, None], np.exp(line_lambda)
    prior = stats.gamma.pdf(psi, A, scale=2) * psi * np.exp(-lam) * lam
    variance = sigma**2 + (psi * lam) ** 2
    values = prior * np.exp(-0.5 * x * x / variance) / np.sqrt(2 * math.pi * variance)
    below = stats.gamma.cdf(math.exp(-60), A, scale=2) * stats.norm.pdf(x, 0, sigma)
    wanted = integrate.simpson(integrate.simpson(values, x=line_lambda), x=line_psi) + below
    assert ours == pytest.approx([wanted, wanted], rel=2e-5)


@functools.cache
def many_of_two() -> np.ndarray:
    return story(2, 2_000_000, np.random.default_rng(1))


@pytest.mark.statistical
@pytest.mark.parametrize("x", [[0.4, 3.0], [-6.0, 0.1], [1.5, 1.5]])
def test_draws_are_those_of_importance_sampling(x: list[float]) -> None:
    """Two means; 2 million prior draws in NumPy, weighted by likelihood. 4.5 standard errors."""
    theta = many_of_two()
    weights = np.exp(-0.5 * (((np.array(x) - theta[:, :2]) / theta[:, 3:]) ** 2).sum(1))
    weights /= theta[:, 3] ** 2
    weights /= weights.sum()
    effective = 1 / (weights**2).sum()
    assert effective > 3000
    draws = DirichletLaplace(2).posterior(torch.tensor([x])).sample((40_000,), seed=0)
    for quantity in (
        lambda t: t[:, 0], lambda t: t[:, 1], lambda t: t[:, 2], lambda t: t[:, 3],
        lambda t: t[:, 2] - abs(t[:, 0]), lambda t: abs(t[:, 0] / t[:, 1]),
    ):  # fmt: skip
        ours, other = quantity(draws.double().numpy()), quantity(theta)
        for level in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98):
            got = weights[other <= np.quantile(ours, level)].sum()
            error = math.sqrt(level * (1 - level) * (1 / effective + 1 / 40_000))
            assert abs(got - level) < 4.5 * error


def test_sigma_table_is_a_density() -> None:
    _, x = DirichletLaplace(20).sample(1, seed=0, device="cpu")
    exact = DirichletLaplace(20).posterior(x[0])
    sigma, density = exact.sigma()
    total = float(torch.trapezoid(density, sigma))
    assert total == pytest.approx(1, abs=1e-4)
    draws = exact.sample((20_000,), seed=0)[:, -1].double()
    mean = float(torch.trapezoid(density * sigma, sigma))
    assert float(draws.mean()) == pytest.approx(mean, abs=5 * float(draws.std()) / 20_000**0.5)


@pytest.mark.statistical
def test_exact_posterior_is_calibrated_and_wrong_ones_are_not() -> None:
    """Five means, so that tau is known a little; |mu| and totals beside the parameters."""
    problem = DirichletLaplace(5)
    also = (
        lambda t: t[:, :5].abs().sum(1),
        lambda t: t[:, :5].abs().amax(1),
        lambda t: t[:, 5] - t[:, :5].abs().sum(1),
        lambda t: (t[:, :5].abs() + 1e-30).log().sum(1),
    )
    assert calibrated(p_values(problem, 400, also=also))
    for concentration, shape in ((1.8 * A, 100.0), (A, 10.0)):

        def wrong(x: torch.Tensor, c: float = concentration, s: float = shape) -> object:
            return ShrinkagePosterior(x[0], c, s)

        assert not calibrated(p_values(problem, 300, posterior=wrong, also=also))


def test_all_hundred_are_calibrated_roughly() -> None:
    """|z| of the truth in posterior sds, over all 102 coordinates and 30 data sets."""
    problem = DirichletLaplace()
    theta, x = problem.sample(30, seed=3, device="cpu")
    below = [
        (problem.posterior(x[i]).sample((199,), seed=i) < theta[i]).double().mean(0)
        for i in range(30)
    ]
    u = torch.stack(below)
    assert abs(float(u[:, :100].mean()) - 0.5) < 4.5 * 12**-0.5 / 3000**0.5
    inner = ((u[:, :100] > 0.1) & (u[:, :100] < 0.9)).double().mean()
    assert abs(float(inner) - 0.8) < 4.5 * 0.4 / 3000**0.5 + 0.01


def test_small_shrinks_and_large_stays() -> None:
    x = torch.zeros(1, 100)
    x[0, 0], x[0, 1], x[0, 2] = 1.0, 4.0, 1000.0
    draws = DirichletLaplace().posterior(x).sample((2000,), seed=0)
    means = draws.mean(0)
    assert 0 < float(means[0]) < 0.5
    assert 2.5 < float(means[1]) < 4.1
    assert float(means[2]) == pytest.approx(1000, abs=1)


def test_latents() -> None:
    problem = DirichletLaplace()
    theta = problem.sample_prior(3000, seed=0, device="cpu")
    to_latent = ToLatent(problem.prior)
    to_latent.fit(theta)
    z = to_latent(theta)
    assert z.shape == (3000, 102)
    assert torch.allclose(to_latent.inverse(z), theta, rtol=1e-4, atol=1e-5)
    model = small_model(problem)
    draws = model.sample(torch.zeros(1, 100), 200, seed=0, steps=3)
    assert problem.prior.support.check(draws).all()
    assert (draws[:, 100:] > 0).all()


def test_no_densities_and_the_message_says_why() -> None:
    problem = DirichletLaplace(3)
    with pytest.raises(NotImplementedError, match="prior has no tractable density"):
        problem.prior.log_prob(torch.ones(5))
    with pytest.raises(NotImplementedError, match="exact draws but no tractable density"):
        problem.posterior(torch.zeros(1, 3)).log_prob(torch.ones(5))


def test_bad_input() -> None:
    for means in (0, -1, 2.5, "ten"):
        with pytest.raises(ValueError, match="means, how many there are"):
            DirichletLaplace(means)  # type: ignore[arg-type]
    for x, words in (
        (torch.zeros(1, 99), "F = 100"),
        (torch.zeros(2, 100), "N = 1"),
        (torch.full((1, 100), math.inf), "NaN or infinite"),
        (torch.full((1, 100), 1e6), "too improbable"),
    ):
        with pytest.raises(ValueError, match=words):
            DirichletLaplace().posterior(x)


def test_config_rebuilds_the_problem() -> None:
    problem = DirichletLaplace(7)
    again = ds.problems.get("dirichlet_laplace", **problem.config())
    assert torch.equal(problem.sample(5, seed=0)[1], again.sample(5, seed=0)[1])
    assert again.theta_names[-3:] == ("mu 7", "tau", "sigma")
