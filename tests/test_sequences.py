"""AR1 and StochasticVolatility: against loops, SciPy, quadrature and stored reference draws."""

from __future__ import annotations

import importlib.util
import math
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import KS_ALPHA, ExactModel, small_model
from scipy import integrate, linalg, signal, stats

import diffsbi_edu as ds
from diffsbi_edu.problems import AR1, NormalGamma, Problem, StochasticVolatility, parts
from diffsbi_edu.problems.sequences import linear_recurrence

BOTH = {"ar1": AR1((1, 30)), "volatility": StochasticVolatility((1, 30))}
over_both = pytest.mark.parametrize("problem", BOTH.values(), ids=BOTH.keys())
ROOT = Path(__file__).resolve().parent


def ks(values: torch.Tensor | np.ndarray, cdf: object) -> float:
    return float(stats.kstest(np.asarray(values, dtype=float).ravel(), cdf).pvalue)


def stored(name: str) -> dict[str, np.ndarray]:
    with np.load(ROOT / "data" / f"references_{name}.npz") as file:
        return dict(file)


@cache
def tool() -> ModuleType:
    """tools/references.py, which made the stored draws."""
    folder = ROOT.parent / "tools"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("reference_tool", folder / "references.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


# ---------------------------------------------------------------------------------- simulators


@given(n=st.integers(1, 300), phi=st.floats(-1, 1), seed=st.integers(0, 2**31))
def test_recurrence_is_scipys_filter(n: int, phi: float, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(3, n))
    phis = np.array([phi, -0.5 * phi, 0.999])
    ours = linear_recurrence(torch.tensor(noise), torch.tensor(phis)).numpy()
    for row, one, filtered in zip(noise, phis, ours, strict=True):
        assert np.allclose(filtered, signal.lfilter([1], [1, -one], row), atol=1e-10)


def test_recurrence_in_blocks_is_the_same_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = torch.randn(23, 40, generator=torch.Generator().manual_seed(0))
    phi = torch.linspace(-0.99, 0.99, 23)
    given_noise, at_once = noise.clone(), linear_recurrence(noise, phi)
    for numbers in (1, 41, 200):
        monkeypatch.setattr(parts, "IN_CACHE", numbers)
        assert torch.equal(linear_recurrence(noise, phi), at_once)
    assert torch.equal(noise, given_noise)
    assert torch.equal(linear_recurrence(noise, phi, out=noise), at_once)
    assert torch.equal(noise, at_once)


def test_recurrence_refuses_other_shapes() -> None:
    for noise, phi in (((3, 4, 1), (3,)), ((3, 4), (4,)), ((4,), (4,)), ((3, 4), (3, 1))):
        with pytest.raises(ValueError, match=r"noise must be \(B, N\)"):
            linear_recurrence(torch.zeros(noise), torch.zeros(phi))


@pytest.mark.statistical
def test_ar1_is_stationary_with_its_correlations() -> None:
    """x_1 and x_10 have one law; errors are N(0, 1). False-alarm rate 1e-4 each."""
    theta, x = AR1().sample(20_000, seed=0, device="cpu", n_obs=10)
    mean, phi, sd = (theta.double()[:, i : i + 1] for i in range(3))
    off = (x[..., 0].double() - mean) / sd
    for t in (0, 4, 9):
        assert ks(off[:, t : t + 1] * (1 - phi**2).sqrt(), stats.norm.cdf) > KS_ALPHA
    errors = off[:, 1:] - phi * off[:, :-1]
    assert ks(errors, stats.norm.cdf) > KS_ALPHA
    everything = torch.cat([off[:, :1] * (1 - phi**2).sqrt(), errors], 1).numpy()
    assert np.abs(np.corrcoef(everything.T) - np.eye(10)).max() < 5 / 20_000**0.5
    assert ks(phi, stats.uniform(-1, 2).cdf) > KS_ALPHA
    assert ks(sd**2, stats.invgamma(4, scale=4).cdf) > KS_ALPHA
    assert ks(mean / sd, stats.norm.cdf) > KS_ALPHA


@pytest.mark.statistical
def test_volatility_has_its_moments() -> None:
    """h_t − mu is normal with variance eta² (1 + phi² + … + phi^2t); x_t exp(−h_t/2) is N(0, 1)."""
    problem, n = StochasticVolatility(), 20_000
    theta = problem.sample_prior(n, seed=0, device="cpu")
    for value, law in zip(
        theta.T, (stats.norm(-1, 0.5), stats.uniform(0.9, 0.099), stats.uniform(0.1, 0.2))
    ):
        assert ks(value, law.cdf) > KS_ALPHA
    with torch.random.fork_rng():
        torch.manual_seed(0)
        h = problem.log_variance(theta, 40).double()
    mu, phi, eta = (theta.double()[:, i] for i in range(3))
    for t in (0, 1, 39):
        variance = eta**2 * sum(phi ** (2 * i) for i in range(t + 1))
        assert ks((h[:, t] - mu) / variance.sqrt(), stats.norm.cdf) > KS_ALPHA
    steps = (h[:, 1:] - mu[:, None] - phi[:, None] * (h[:, :-1] - mu[:, None])) / eta[:, None]
    assert ks(steps[:, ::5], stats.norm.cdf) > KS_ALPHA
    # One theta: E x_t² = exp(mu + var_t / 2), and the signs are fair and independent of h.
    one = torch.tensor([[-1.0, 0.95, 0.2]]).expand(200_000, 3)
    x = problem.simulate(one, seed=1, n_obs=3)[..., 0].double()
    for t in range(3):
        variance = 0.04 * sum(0.95 ** (2 * i) for i in range(t + 1))
        square = math.exp(-1 + variance / 2)
        kurtosis = 3 * math.exp(variance)
        error = square * ((kurtosis - 1) / 200_000) ** 0.5
        assert abs(float((x[:, t] ** 2).mean()) - square) < 5 * error
        assert abs(float((x[:, t] > 0).double().mean()) - 0.5) < 5 * 0.5 / 200_000**0.5


# --------------------------------------------------------------------------------- AR1, exactly


@given(n=st.integers(1, 60), seed=st.integers(0, 2**31))
def test_ar1_likelihood_is_that_of_its_covariance_matrix(n: int, seed: int) -> None:
    """The covariance of x_s and x_t is sd² phi^|s−t| / (1 − phi²): SciPy's multivariate normal."""
    problem = AR1()
    theta, x = problem.sample(1, seed=seed, device="cpu", n_obs=n)
    mean, phi, sd = theta[0].double().tolist()
    phi = max(min(phi, 0.99), -0.99)
    covariance = sd**2 / (1 - phi**2) * linalg.toeplitz(phi ** np.arange(n))
    law = stats.multivariate_normal(np.full(n, mean), covariance)
    at = torch.tensor([mean, phi, sd], dtype=torch.float64)
    wanted = law.logpdf(x[0, :, 0].double().numpy())
    assert float(problem.log_likelihood(at, x[0])) == pytest.approx(wanted, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 500, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_ar1_posterior_is_prior_times_likelihood(n: int, seed: int) -> None:
    """log posterior − log prior − log likelihood is one constant, for any N."""
    problem = AR1()
    theta, x = problem.sample(1, seed=100 * seed + n, device="cpu", n_obs=n)
    exact = problem.posterior(x[0])
    others = problem.sample_prior(50, seed=1, device="cpu")
    draws = torch.cat([exact.sample((2000,), seed=0), theta, others])
    assert problem.prior.support.check(draws).all()
    log_like = problem.log_likelihood(draws, x[0])
    log_post = exact.log_prob(draws).double()
    constant = log_post - problem.prior.log_prob(draws.double()) - log_like
    rounding = 1e-3 * max(1.0, float(log_post.abs().max()) / 100)
    assert float(constant.amax() - constant.amin()) < rounding
    assert ((theta - draws[:2000].mean(0)).abs() < 6 * draws[:2000].std(0)).all()


@pytest.mark.parametrize(("n", "level"), [(1, 0.0), (4, 0.0), (60, 0.0), (60, 1000.0)])
def test_ar1_marginal_of_phi_by_nested_quadrature(n: int, level: float) -> None:
    """The mean's integral by Gauss–Hermite, sd's by a fine sum, phi's by a sum: no conjugacy."""
    generator = torch.Generator().manual_seed(n)
    x = level + torch.randn(n, 1, generator=generator)
    exact = AR1().posterior(x)
    grid, density = exact.table()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1, abs=1e-4)
    data, points = x.double().numpy()[:, 0], np.array([-0.9, -0.3, 0.0, 0.2, 0.7])
    log_sd = np.linspace(-2.5, 9, 1500)
    sd = np.exp(log_sd)
    values = []
    for phi in points:
        root = math.sqrt(1 - phi**2)
        design = np.array([root, *([1 - phi] * (n - 1))])
        y = np.array([root * data[0], *(data[1:] - phi * data[:-1])])
        # mean | sd ~ N(0, sd²): y ~ N(0, sd² (I + design designᵀ)), by SciPy's factorisation
        matrix = np.eye(n) + np.outer(design, design)
        quadratic = y @ linalg.solve(matrix, y)
        log_det = np.linalg.slogdet(matrix)[1]
        log_value = -0.5 * quadratic / sd**2 - n * log_sd - 0.5 * log_det + math.log(root)
        log_value += stats.invgamma(4, scale=4).logpdf(sd**2) + 2 * log_sd
        values.append(log_value)
    values = np.array(values)
    evidence = np.exp(values - values.max()).sum(1)
    ours = np.interp(points, grid.numpy(), density.numpy())
    assert np.allclose(ours / ours.sum(), evidence / evidence.sum(), atol=1e-4)


def test_ar1_at_phi_zero_is_the_normal_gamma() -> None:
    """Given phi = 0 the posterior of (mean, sd) is NormalGamma's."""
    _, x = NormalGamma().sample(1, seed=3, device="cpu", n_obs=40)
    two = NormalGamma().posterior(x[0])
    pair = two.sample((200,), seed=0)
    theta = torch.stack([pair[:, 0], torch.zeros(200), pair[:, 1]], 1)
    gap = AR1().posterior(x[0]).log_prob(theta) - two.log_prob(pair)
    assert float(gap.max() - gap.min()) < 1e-3


@pytest.mark.statistical
@pytest.mark.parametrize("n", [1, 5, 200])
def test_ar1_draws_follow_their_density(n: int) -> None:
    """phi's draws against the quadrature's CDF; all of them by an identity of densities."""
    _, x = AR1().sample(1, seed=n, device="cpu", n_obs=n)
    exact = AR1().posterior(x[0])
    draws = exact.sample((50_000,), seed=1)
    grid, density = (v.numpy() for v in exact.table())
    cumulative = integrate.cumulative_trapezoid(density, grid, initial=0)
    assert ks(draws[:, 1], lambda t: np.interp(t, grid, cumulative)) > KS_ALPHA
    other = exact.sample((50_000,), seed=2)
    # E_p[p(theta + shift) / p(theta)] = 1, the mean being free to go anywhere.
    moved = other + torch.tensor([0.1 * float(draws[:, 0].std()), 0.0, 0.0])
    ratio = (exact.log_prob(moved) - exact.log_prob(other)).exp()
    assert float(ratio.mean()) == pytest.approx(1, abs=5 * float(ratio.std()) / 50_000**0.5)


@pytest.mark.statistical
def test_ar1_posterior_is_calibrated() -> None:
    """SBC with N from 1 to 30: KS below its 0.01 % point; too narrow by 30 %: above it."""
    problem = BOTH["ar1"]
    critical = stats.kstwo.isf(1e-4 / 3, 600)
    assert (ds.diagnostics.sbc(ExactModel(problem), problem, 600, 99, seed=0).ks < critical).all()
    spoilt = ds.diagnostics.sbc(ExactModel(problem, 0.7), problem, 600, 99, seed=0).ks
    assert (spoilt > critical).any()


@pytest.mark.statistical
@pytest.mark.parametrize("size", [100, 500])
@pytest.mark.parametrize("which", [0, 1])
def test_ar1_posterior_agrees_with_an_independent_sampler(size: int, which: int) -> None:
    """Metropolis draws by NumPy (tools/references.py): each marginal, and all moments to 5 SE.

    The stored draws are thinned to 650 effective ones and more; KS assumes as many.
    """
    data = stored("ar1")
    draws, x = data[f"draws_{size}"][which], data[f"x_{size}"][which]
    assert data[f"rhat_{size}"].max() < 1.02
    exact = AR1().posterior(torch.tensor(x)[:, None]).sample((50_000,), seed=0).numpy()
    for i in range(3):
        effective = min(data[f"ess_{size}"][which, i], 1000)
        gap = stats.ks_2samp(draws[:, i], exact[:, i]).statistic
        assert gap < stats.kstwo.isf(KS_ALPHA, int(effective))
    correlation, wanted = np.corrcoef(draws.T), np.corrcoef(exact.T)
    assert np.abs(np.arctanh((correlation - wanted) * (1 - np.eye(3)))).max() < 5 / 650**0.5


# ------------------------------------------------------ stochastic volatility: the reference


def test_reference_likelihood_of_two_steps_is_scipys_dblquad() -> None:
    x = np.array([0.5, -1.2], dtype=np.float32)
    mu, phi, eta = -0.8, 0.95, 0.25

    def joint(h1: float, h0: float) -> float:
        squares = ((h0 - mu) / eta) ** 2 + ((h1 - mu - phi * (h0 - mu)) / eta) ** 2
        squares += sum(h + float(v) ** 2 * math.exp(-h) for v, h in zip(x, (h0, h1)))
        return math.exp(-0.5 * squares) / (4 * math.pi**2 * eta**2)

    total, _ = integrate.dblquad(joint, mu - 2.5, mu + 2.5, mu - 3.5, mu + 3.5, epsabs=1e-10)
    assert tool().sv_log_likelihood(mu, phi, eta, x) == pytest.approx(math.log(total), abs=1e-7)


@pytest.mark.statistical
def test_reference_likelihood_is_a_particle_filters() -> None:
    """10 bootstrap filters of 20,000 particles, averaged: within 5 of their standard errors."""
    rng, x = np.random.default_rng(0), stored("stochastic_volatility")["x_100"][0]
    for mu, phi, eta in ((-1.0, 0.95, 0.2), (-0.5, 0.99, 0.1), (-2.0, 0.91, 0.3)):
        logs = np.zeros(10)
        h = mu + eta * rng.normal(size=(10, 20_000))
        for value in x:
            weights = np.exp(-0.5 * (h + value**2 * np.exp(-h) + np.log(2 * np.pi)))
            logs += np.log(weights.mean(1))
            weights = weights.cumsum(1) / weights.sum(1, keepdims=True)
            grid = (np.arange(20_000) + rng.uniform(size=(10, 1))) / 20_000
            picked = [np.searchsorted(w, g).clip(max=19_999) for w, g in zip(weights, grid)]
            h = np.take_along_axis(h, np.array(picked), 1)
            h = mu + phi * (h - mu) + eta * rng.normal(size=h.shape)
        estimate = np.log(np.exp(logs - logs.max()).mean()) + logs.max()
        error = np.exp(logs - logs.max()).std() / np.exp(logs - logs.max()).mean() / 10**0.5
        ours = tool().sv_log_likelihood(mu, phi, eta, x)
        assert abs(ours - estimate) < 5 * error + 0.01


@pytest.mark.statistical
@pytest.mark.parametrize(("size", "which"), [(100, 0), (100, 1), (500, 0)])
def test_reference_draws_are_left_alone_by_metropolis(size: int, which: int) -> None:
    """Twelve Metropolis steps from each of 200 draws change no mean, nor spread, by 4.5 SE."""
    data = stored("stochastic_volatility")
    assert data[f"error_{size}"].max() < 1e-3
    draws, x = data[f"draws_{size}"][which].astype(float), data[f"x_{size}"][which]
    support = StochasticVolatility().prior.support
    assert support.check(torch.tensor(draws)).all()

    def log_posterior(row: np.ndarray) -> float:
        if not support.check(torch.tensor(row)):
            return -np.inf
        return stats.norm.logpdf(row[0], -1, 0.5) + tool().sv_log_likelihood(*row, x)

    rng = np.random.default_rng(0)
    centre, factor = draws.mean(0), np.linalg.cholesky(np.cov(draws.T)) * 2.38 / 3**0.5
    before = draws[::5]
    after = before.copy()
    moved = 0
    for row in after:
        now = log_posterior(row)
        for _ in range(12):
            proposal = row + factor @ rng.normal(size=3)
            new = log_posterior(proposal)
            if np.log(rng.uniform()) < new - now:
                row[:], now, moved = proposal, new, moved + 1
    assert moved > 2 * len(after)
    for first, second in ((before, after), ((before - centre) ** 2, (after - centre) ** 2)):
        change = second - first
        assert (np.abs(change.mean(0)) < 4.5 * change.std(0) / len(change) ** 0.5).all()


# ------------------------------------------------------------------------------ edges, bad input


@over_both
@pytest.mark.parametrize("n", [1, 2, 3, 17, 1000])
def test_any_length(problem: Problem, n: int) -> None:
    _, x = problem.sample(8, seed=0, device="cpu", n_obs=n)
    assert x.shape == (8, n, 1)
    assert torch.isfinite(x).all()
    again = problem.sample(8, seed=0, device="cpu", n_obs=n)
    assert torch.equal(again[1], x)
    assert problem.data_kind == "sequence"


def test_ar1_survives_the_edge_of_its_prior() -> None:
    """phi = −1, which torch's Uniform may return, and series that wander or explode in size."""
    theta = torch.tensor([[0.0, -1.0, 1.0], [0.0, 1 - 2.0**-24, 1.0]])
    assert torch.isfinite(AR1().simulate(theta, seed=0, n_obs=50)).all()
    walk = torch.randn(500, 1, generator=torch.Generator().manual_seed(0)).cumsum(0)
    line = torch.arange(100.0)[:, None]
    for x in (walk, 1e4 + walk, line, torch.ones(50, 1), torch.zeros(1, 1), 1e6 * walk):
        exact = AR1().posterior(x)
        draws = exact.sample((3000,), seed=0)
        assert AR1().prior.support.check(draws).all()
        assert torch.isfinite(draws).all()
        assert torch.isfinite(exact.log_prob(draws)).all()
    outside = torch.tensor([[0.0, 1.0, 1.0], [0.0, -1.5, 1.0], [0.0, 0.5, 0.0], [0.0, 0.5, -1.0]])
    assert (AR1().posterior(walk).log_prob(outside) == -math.inf).all()
    assert (AR1().prior.log_prob(outside) == -math.inf).all()


@over_both
def test_latents_and_support(problem: Problem) -> None:
    """The volatility prior becomes exactly N(0, I); nothing an untrained model draws leaks."""
    fixed = ds.problems.get(problem.name, n_obs=4)
    model = small_model(fixed)
    theta = model.sample(torch.zeros(4, 1), 20_000, seed=0, steps=4)
    assert fixed.prior.support.check(theta).all()
    assert model.to_latent.prior.gaussian_prior == (problem is BOTH["volatility"])


@over_both
def test_impossible_settings(problem: Problem) -> None:
    for n_obs in (0, -3, (0, 10), (9, 3), 1.5):
        with pytest.raises(ValueError, match="n_obs must be an int"):
            type(problem)(n_obs)
    for name in ("shape", "rate"):
        with pytest.raises(ValueError, match=f"{name}, of the inverse gamma, must be positive"):
            AR1(**{name: 0.0})


def test_impossible_data() -> None:
    x = torch.zeros(5, 1)
    x[2] = math.inf
    for call in (AR1().posterior, lambda x: AR1().log_likelihood(torch.ones(3), x)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            call(x)
        with pytest.raises(ValueError, match="F = 1"):
            call(torch.zeros(5, 2))
        with pytest.raises(ValueError, match="at least one observation"):
            call(torch.zeros(0, 1))
    with pytest.raises(ds.NoExactPosterior, match="stochastic_volatility"):
        StochasticVolatility().posterior(torch.zeros(5, 1))


@over_both
def test_config_rebuilds_the_problem(problem: Problem) -> None:
    again = ds.problems.get(problem.name, **problem.config())
    assert again.config() == problem.config()
    first, second = (p.sample(3, seed=0, device="cpu") for p in (problem, again))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
