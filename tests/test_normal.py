"""NormalGamma and NormalInverseWishart: against SciPy, quadrature, and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import KS_ALPHA, ExactModel, grid_2d, small_model
from scipy import stats

import diffsbi_edu as ds
from diffsbi_edu.problems import NormalGamma, NormalInverseWishart, Problem
from diffsbi_edu.problems.wishart import pack, unpack

BOTH = {"gamma": NormalGamma((1, 20)), "wishart": NormalInverseWishart((1, 20))}
over_both = pytest.mark.parametrize("problem", BOTH.values(), ids=BOTH.keys())
SIZES = [1, 2, 3, 10, 200, 500, 1000]


def ks(values: torch.Tensor | np.ndarray, cdf: object) -> float:
    return float(stats.kstest(np.asarray(values, dtype=float).ravel(), cdf).pvalue)


def ks_two(a: object, b: object) -> float:
    return float(stats.ks_2samp(np.asarray(a).ravel(), np.asarray(b).ravel()).pvalue)


# ------------------------------------------------------------------------------ prior, simulator


@pytest.mark.statistical
def test_normal_gamma_has_its_law() -> None:
    """Each comparison has a false-alarm rate of 1e-4."""
    theta, x = NormalGamma(shape=3.0, rate=2.0).sample(20_000, seed=0, device="cpu", n_obs=5)
    mean, sd = theta.double().T
    assert x.shape == (20_000, 5, 1)
    assert ks(sd**2, stats.invgamma(3, scale=2).cdf) > KS_ALPHA
    assert ks(mean / sd, stats.norm.cdf) > KS_ALPHA
    assert abs(np.corrcoef((mean / sd).numpy(), sd.numpy())[0, 1]) < 4 / 20_000**0.5
    eps = (x[..., 0] - mean[:, None]) / sd[:, None]
    assert ks(eps, stats.norm.cdf) > KS_ALPHA
    assert np.abs(np.corrcoef(eps.T) - np.eye(5)).max() < 5 / 20_000**0.5


@pytest.mark.statistical
@pytest.mark.parametrize(("dim", "dof"), [(4, 6.0), (3, 7.5), (1, 2.0)])
def test_normal_inverse_wishart_has_its_law(dim: int, dof: float) -> None:
    """Sigma against SciPy's inverse Wishart; standardised data are N(0, I). Rates 1e-4 each."""
    problem, n = NormalInverseWishart(dim=dim, dof=dof), 10_000
    theta, x = problem.sample(n, seed=1, device="cpu", n_obs=3)
    sigma = problem.covariance(theta.double()).numpy()
    rng = np.random.default_rng(0)
    other = stats.invwishart(dof, np.eye(dim)).rvs(n, random_state=rng).reshape(n, dim, dim)
    for i in range(dim):
        assert ks(sigma[:, i, i], stats.invgamma((dof - dim + 1) / 2, scale=0.5).cdf) > KS_ALPHA
        assert ks_two(sigma[:, i, 0], other[:, i, 0]) > KS_ALPHA
    assert ks_two(np.linalg.slogdet(sigma)[1], np.linalg.slogdet(other)[1]) > KS_ALPHA
    mean, factor = unpack(theta.double(), dim)
    off = torch.cat([mean[:, None], x.double() - mean[:, None]], 1)
    eps = torch.linalg.solve_triangular(factor, off.mT, upper=False).mT  # prior mean, then data
    assert eps.shape == (n, 4, dim)
    assert ks(eps, stats.norm.cdf) > KS_ALPHA
    flat = eps.reshape(n, -1).numpy()
    assert np.abs(np.corrcoef(flat.T) - np.eye(4 * dim)).max() < 5.5 / n**0.5


def test_prior_densities_are_scipys() -> None:
    """With the Jacobians: sd² → sd by hand, Sigma → L by automatic differentiation."""
    theta = NormalGamma().sample_prior(50, seed=2, device="cpu").double()
    mean, sd = theta.T.numpy()
    wanted = stats.invgamma(4, scale=4).logpdf(sd**2) + np.log(2 * sd)
    wanted += stats.norm(0, sd).logpdf(mean)
    assert np.allclose(NormalGamma().prior.log_prob(theta).numpy(), wanted, atol=1e-5)
    problem = NormalInverseWishart(dim=3, dof=5.5)
    theta = problem.sample_prior(20, seed=3, device="cpu").double()
    rows, columns = torch.tril_indices(3, 3)

    def lower_of_sigma(entries: torch.Tensor) -> torch.Tensor:
        factor = unpack(torch.cat([torch.zeros(3).double(), entries]), 3)[1]
        return (factor @ factor.T)[rows, columns]

    for row in theta:
        sigma = problem.covariance(row).numpy()
        jacobian = torch.autograd.functional.jacobian(lower_of_sigma, row[3:])
        wanted = stats.invwishart(5.5, np.eye(3)).logpdf(sigma)
        wanted += stats.multivariate_normal(np.zeros(3), sigma).logpdf(row[:3].numpy())
        wanted += float(torch.linalg.slogdet(jacobian)[1])
        assert float(problem.prior.log_prob(row)) == pytest.approx(wanted, abs=1e-4)


def test_packing_is_row_by_row() -> None:
    problem = NormalInverseWishart()
    theta = torch.arange(1.0, 15.0)
    mean, factor = unpack(theta, 4)
    assert mean.tolist() == [1, 2, 3, 4]
    assert factor[2].tolist() == [8, 9, 10, 0]
    assert torch.equal(pack(mean, factor), theta)
    assert problem.theta_names[:6] == ("mean 1", "mean 2", "mean 3", "mean 4", "L 11", "L 21")
    assert problem.theta_names[-1] == "L 44"
    assert len(problem.theta_names) == problem.dim == 14


# ----------------------------------------------------------------------------- exact posteriors


@pytest.mark.parametrize("n", [1, 3, 40])
def test_normal_gamma_posterior_by_quadrature(n: int) -> None:
    """Prior times likelihood (SciPy), normalised over a grid; the density sums to 1 by itself."""
    _, x = NormalGamma().sample(1, seed=n, device="cpu", n_obs=n)
    exact = NormalGamma().posterior(x[0])
    draws = exact.sample((20_000,), seed=0).double()
    low, high = draws.amin(0) - 1, draws.amax(0) + 3
    grid, area = grid_2d([float(low[0]), 1e-3], [float(high[0]), float(high[1])], 900)
    mean, sd = grid.T.numpy()
    log_density = stats.invgamma(4, scale=4).logpdf(sd**2) + np.log(2 * sd)
    log_density += stats.norm(0, sd).logpdf(mean)
    for value in x.double().flatten().tolist():
        log_density += stats.norm(mean, sd).logpdf(value)
    evidence = np.log(np.exp(log_density - log_density.max()).sum() * area) + log_density.max()
    near = log_density > log_density.max() - 20
    ours = exact.log_prob(grid).double().numpy()
    assert np.allclose(ours[near], (log_density - evidence)[near], atol=2e-3)
    assert np.exp(ours).sum() * area == pytest.approx(1, abs=2e-3)


@given(n=st.integers(1, 1000), seed=st.integers(0, 2**31), shape=st.floats(0.5, 20),
       rate=st.floats(0.05, 20))  # fmt: skip
def test_normal_gamma_posterior_marginals(n: int, seed: int, shape: float, rate: float) -> None:
    """For any N: the mean is Student's t and sd² inverse gamma, with sums taken one at a time."""
    problem = NormalGamma((1, 1000), shape=shape, rate=rate)
    _, x = problem.sample(1, seed=seed, device="cpu", n_obs=n)
    loc, count, a, b = 0.0, 1.0, shape, rate
    for value in x.double().flatten().tolist():  # one observation after another
        b += 0.5 * count / (count + 1) * (value - loc) ** 2
        loc, count, a = (count * loc + value) / (count + 1), count + 1, a + 0.5
    law = problem.posterior(x[0]).law
    for got, wanted in ((law.loc, loc), (law.count, count), (law.shape, a), (law.rate, b)):
        assert float(got) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.statistical
def test_normal_gamma_draws_follow_scipys_marginals() -> None:
    _, x = NormalGamma().sample(1, seed=5, device="cpu", n_obs=6)
    exact = NormalGamma().posterior(x[0])
    mean, sd = exact.sample((50_000,), seed=0).double().T
    law = exact.law
    a, b, count = float(law.shape), float(law.rate), float(law.count)
    scale = math.sqrt(b / (a * count))
    assert ks(mean, stats.t(2 * a, float(law.loc), scale).cdf) > KS_ALPHA
    assert ks(sd**2, stats.invgamma(a, scale=b).cdf) > KS_ALPHA
    assert ks((mean - float(law.loc)) / sd * count**0.5, stats.norm.cdf) > KS_ALPHA


@pytest.mark.parametrize("n", SIZES)
def test_wishart_posterior_is_prior_times_likelihood(n: int) -> None:
    """log posterior − log prior − log likelihood (SciPy) is one constant, for any N."""
    problem = NormalInverseWishart()
    theta, x = problem.sample(1, seed=n, device="cpu", n_obs=n)
    exact = problem.posterior(x[0])
    draws = torch.cat([exact.sample((30,), seed=0), theta]).double()
    constants = []
    for row in draws:
        law = stats.multivariate_normal(row[:4].numpy(), problem.covariance(row).numpy())
        log_like = law.logpdf(x[0].double().numpy()).sum()
        log_prior = float(problem.prior.log_prob(row))
        constants.append(float(exact.law.log_prob(row)) - log_prior - log_like)
    assert np.ptp(constants) < 1e-4


@pytest.mark.statistical
def test_wishart_draws_follow_scipys() -> None:
    _, x = NormalInverseWishart().sample(1, seed=7, device="cpu", n_obs=5)
    problem, data = NormalInverseWishart(), x[0].double().numpy()
    draws = problem.posterior(x[0]).sample((20_000,), seed=0).double()
    centre = data.mean(0)
    scale = np.eye(4) + (data - centre).T @ (data - centre) + 5 / 6 * np.outer(centre, centre)
    rng = np.random.default_rng(1)
    other = stats.invwishart(11, scale).rvs(20_000, random_state=rng)
    sigma = problem.covariance(draws).numpy()
    for i in range(4):
        for j in range(i + 1):
            assert ks_two(sigma[:, i, j], other[:, i, j]) > KS_ALPHA
        spread = math.sqrt(scale[i, i] / (6 * (11 - 3)))
        law = stats.t(11 - 3, 5 / 6 * centre[i], spread)
        assert ks(draws[:, i], law.cdf) > KS_ALPHA


def test_one_feature_of_the_wishart_is_the_gamma() -> None:
    """IW(dof, 1) of one number is InvGamma(dof/2, 1/2): the same posterior from other code."""
    _, x = NormalGamma().sample(1, seed=0, device="cpu", n_obs=9)
    one = NormalInverseWishart(dim=1, dof=5.0).posterior(x[0])
    two = NormalGamma(shape=2.5, rate=0.5).posterior(x[0])
    theta = two.sample((100,), seed=0)
    assert torch.allclose(one.log_prob(theta), two.log_prob(theta), atol=1e-4)


@pytest.mark.statistical
@over_both
def test_exact_posteriors_are_calibrated(problem: Problem) -> None:
    """SBC with N from 1 to 20: KS below its 0.01 % point; too narrow by 30 %: above it."""
    critical = stats.kstwo.isf(1e-4 / problem.dim, 1000)
    ks_exact = ds.diagnostics.sbc(ExactModel(problem), problem, 1000, 99, seed=0).ks
    assert (ks_exact < critical).all()
    spoilt = ds.diagnostics.sbc(ExactModel(problem, 0.7), problem, 1000, 99, seed=0).ks
    assert (spoilt > critical).any()


@over_both
@pytest.mark.parametrize("n", SIZES)
def test_any_number_of_observations(problem: Problem, n: int) -> None:
    """The truth is among the draws, which come closer as N grows."""
    theta, x = problem.sample(1, seed=11, device="cpu", n_obs=n)
    exact = problem.posterior(x[0])
    draws = exact.sample((4000,), seed=0)
    assert problem.prior.support.check(draws).all()
    assert torch.isfinite(exact.log_prob(draws)).all()
    assert ((theta - draws.mean(0)).abs() < 6 * draws.std(0)).all()
    scale = theta[0, -1] if problem.dim == 2 else problem.covariance(theta)[0, 0, 0].sqrt()
    assert n < 10 or float(draws[:, 0].std()) == pytest.approx(float(scale) / n**0.5, rel=0.5)


# --------------------------------------------------------------------------- edges, bad input


@over_both
def test_nothing_leaves_the_support(problem: Problem) -> None:
    fixed = ds.problems.get(problem.name, n_obs=2)
    model = small_model(fixed)
    theta = model.sample(torch.zeros(2, model.features), 20_000, seed=0, steps=4)
    assert fixed.prior.support.check(theta).all()
    outside = torch.zeros(fixed.dim)
    exact = fixed.posterior(torch.ones(2, model.features))
    assert fixed.prior.log_prob(outside) == exact.log_prob(outside) == -math.inf


@over_both
@pytest.mark.parametrize("n_obs", [0, -1, (0, 5), (5, 2), 2.5, (1, 2, 3), "ten"])
def test_impossible_numbers_of_observations(problem: Problem, n_obs: object) -> None:
    with pytest.raises(ValueError, match="n_obs must be an int"):
        type(problem)(n_obs)
    for none in (0, -1):
        with pytest.raises(ValueError, match="n_obs, the number of observations, must be at least"):
            problem.sample(2, seed=0, device="cpu", n_obs=none)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_impossible_hyperparameters(value: float) -> None:
    for name in ("shape", "rate"):
        with pytest.raises(ValueError, match=f"{name}, of the inverse gamma, must be positive"):
            NormalGamma(**{name: value})
    with pytest.raises(ValueError, match="dof must be above dim − 1 = 3"):
        NormalInverseWishart(dof=value)
    with pytest.raises(ValueError, match="dim, the number of features"):
        NormalInverseWishart(dim=value)  # type: ignore[arg-type]


@over_both
def test_posteriors_refuse_impossible_data(problem: Problem) -> None:
    features = 1 if problem.dim == 2 else 4
    good = torch.randn(3, features, generator=torch.Generator().manual_seed(0))
    bad = good.clone()
    bad[1, 0] = math.nan
    for x, words in (
        (bad, "NaN"),
        (torch.zeros(3, features + 1), f"F = {features}"),
        (torch.zeros(0, features), "at least one observation"),
        (good.expand(2, 3, features), "one data set"),
    ):
        with pytest.raises(ValueError, match=words):
            problem.posterior(x)
    with pytest.raises(TypeError, match="floating point"):
        problem.posterior(good.long())


@over_both
def test_config_rebuilds_the_problem(problem: Problem) -> None:
    again = ds.problems.get(problem.name, **problem.config())
    assert again.config() == problem.config()
    assert again.n_obs == problem.n_obs == (1, 20)
    assert problem.data_kind == "set"
    first, second = (p.sample(3, seed=0, device="cpu") for p in (problem, again))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
