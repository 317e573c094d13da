"""FractionalBrownianMotion: against covariances, Cholesky factors and SciPy's normal."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import KS_ALPHA, moved_by_metropolis, small_model
from scipy import stats

import diffsbi_edu as ds
from diffsbi_edu.problems import FractionalBrownianMotion
from diffsbi_edu.problems.brownian import circulant_spectrum, covariances, fractional_noise
from diffsbi_edu.runtime import make_generator, randomness_from

DATA = Path(__file__).resolve().parent / "data" / "references_fractional_brownian_motion.npz"
HURSTS = [0.02, 0.3, 0.5, 0.8, 0.97]


def path_covariance(hurst: float, tau: float, t: np.ndarray) -> np.ndarray:
    """Cov(B(s), B(t)) = tau²/2 (s^2H + t^2H − |s − t|^2H), of the path itself."""
    s, power = t[:, None], 2 * hurst
    return tau**2 / 2 * (s**power + t**power - np.abs(s - t) ** power)


def grid(n: int) -> np.ndarray:
    return np.arange(1, n + 1) / n


def wave(theta: np.ndarray, n: int) -> np.ndarray:
    _, _, amplitude, phase, period = theta
    return amplitude * np.sin(2 * np.pi * grid(n) / period + phase)


# ------------------------------------------------------------------------------------- simulator


@pytest.mark.statistical
@pytest.mark.parametrize("hurst", HURSTS)
@pytest.mark.parametrize(("n", "size"), [(1, 4000), (2, 4000), (12, 4000), (150, 1000)])
def test_paths_have_their_law(hurst: float, n: int, size: int) -> None:
    """Whitened by NumPy's Cholesky factor of the path's covariance, N(0, I). False alarms 1e-4.

    The same test must see an exponent off by 0.05, and an amplitude off by a factor of 3.
    """
    theta = torch.tensor([[hurst, 4.0, 1.5, 1.0, 0.3]]).repeat(size, 1)
    x = FractionalBrownianMotion().simulate(theta, seed=0, n_obs=n)[..., 0].double().numpy()

    def p_value(hurst: float, stretch: float = 1.0) -> float:
        mean = wave(theta[0].double().numpy() * [1, 1, stretch, 1, 1], n)
        factor = np.linalg.cholesky(path_covariance(hurst, 4.0, grid(n)))
        white = np.linalg.solve(factor, (x - mean).T)
        largest = np.abs(np.corrcoef(white) - np.eye(n)).max() if n > 1 else 0.0
        assert largest < 6 / size**0.5 or hurst != theta[0, 0].item()
        p = stats.kstest(white.ravel(), stats.norm.cdf).pvalue
        return min(p, stats.kstest(white.sum(0) / n**0.5, stats.norm.cdf).pvalue)

    assert p_value(theta[0, 0].item()) > KS_ALPHA
    if n >= 12:
        assert p_value(hurst + (0.05 if hurst < 0.5 else -0.05)) < 1e-10
        assert p_value(theta[0, 0].item(), stretch=3.0) < 1e-4


@pytest.mark.statistical
def test_noise_is_stationary_with_its_covariances() -> None:
    """Moments of 20,000 series within 5 standard errors, for each exponent, by their formula."""
    n, size = 8, 20_000
    for hurst in HURSTS:
        with randomness_from(make_generator(1)):
            noise = fractional_noise(torch.full((size,), hurst), n).double().numpy()
        k = np.subtract.outer(np.arange(n), np.arange(n)).astype(float)
        power = 2 * hurst
        exact = (np.abs(k + 1) ** power - 2 * np.abs(k) ** power + np.abs(k - 1) ** power) / 2
        products = noise[:, :, None] * noise[:, None, :]
        assert (np.abs(products.mean(0) - exact) < 5 * products.std(0) / size**0.5).all()
        assert np.abs(noise.mean(0)).max() < 5 / size**0.5


@pytest.mark.statistical
def test_prior_is_scipys() -> None:
    theta = FractionalBrownianMotion().sample_prior(20_000, seed=0, device="cpu").double().numpy()
    laws = (
        stats.uniform, stats.gamma(20), stats.gamma(3, scale=0.2), stats.uniform(0, 2 * np.pi),
        stats.uniform(0.1, 0.9),
    )  # fmt: skip
    for values, law in zip((theta * [1, 0, 1, 1, 1] + theta**2 * [0, 1, 0, 0, 0]).T, laws,
                           strict=True):  # fmt: skip
        assert stats.kstest(values, law.cdf).pvalue > KS_ALPHA
    assert np.abs(np.corrcoef(theta.T) - np.eye(5)).max() < 5 / 20_000**0.5


# -------------------------------------------------------------------------------- the embedding


@given(hurst=st.floats(0, 1), n=st.integers(1, 1000))
def test_no_eigenvalue_is_negative(hurst: float, n: int) -> None:
    spectrum = circulant_spectrum(torch.tensor([hurst]), n)
    assert spectrum.shape == (1, n + 1)
    assert (spectrum >= 0).all()
    # They sum to the circle's total variance, 2n.
    total = 2 * spectrum.sum() - spectrum[0, 0] - spectrum[0, -1]
    assert float(total) == pytest.approx(2 * n, rel=1e-9)


@pytest.mark.parametrize("hurst", [1.2, -0.3, math.nan])
def test_impossible_exponents_are_refused(hurst: float) -> None:
    theta = torch.tensor([[0.5, 4.0, 1.0, 1.0, 0.5], [hurst, 4.0, 1.0, 1.0, 0.5]])
    with pytest.raises(ds.SimulationError, match="hurst must lie between 0 and 1"):
        FractionalBrownianMotion().simulate(theta, seed=0, n_obs=100)


def test_covariances_at_known_exponents() -> None:
    for hurst, expected in ((0.5, [1, 0, 0, 0]), (1.0, [1, 1, 1, 1]), (0.0, [1, -0.5, 0, 0])):
        assert covariances(torch.tensor(hurst), 4).numpy() == pytest.approx(np.array(expected))
    assert covariances(torch.rand(2, 3), 7).shape == (2, 3, 7)
    assert covariances(torch.tensor(0.3), 1).tolist() == [1.0]


# ------------------------------------------------------------------------------------ likelihood


@pytest.mark.parametrize("n", [1, 2, 50, 200])
def test_likelihood_is_scipys(n: int) -> None:
    problem = FractionalBrownianMotion()
    theta, x = problem.sample(6, seed=0, device="cpu", n_obs=n)
    theta[:, 0] = torch.tensor([0.01, 0.2, 0.5, 0.7, 0.9, 0.98])
    ours = problem.log_likelihood(theta.reshape(2, 3, 5), x[0])
    assert ours.shape == (2, 3)
    assert ours.dtype == torch.float64
    data = x[0, :, 0].double().numpy()
    for value, row in zip(ours.flatten(), theta.double().numpy(), strict=True):
        covariance = path_covariance(row[0], row[1], grid(n))
        law = stats.multivariate_normal(wave(row, n), covariance, allow_singular=False)
        assert float(value) == pytest.approx(law.logpdf(data), rel=1e-7, abs=1e-6)


@pytest.mark.statistical
def test_the_truth_is_likeliest_on_average() -> None:
    """Mean log p(x | theta) − log p(x | other) > 0 by 3 standard errors, for each coordinate."""
    problem = FractionalBrownianMotion()
    truth = torch.tensor([0.6, 4.5, 3.0, 2.0, 0.25])
    x = problem.simulate(truth.repeat(60, 1), seed=0, n_obs=100)
    steps = torch.diag(torch.tensor([0.1, 1.0, 2.0, 1.0, 0.03]))
    others = torch.cat([truth[None], truth + steps, truth - steps])
    logs = torch.stack([problem.log_likelihood(others, row) for row in x])
    gain = logs[:, :1] - logs[:, 1:]
    assert (gain.mean(0) > 3 * gain.std(0) / 60**0.5).all()


def test_an_angle_is_an_angle() -> None:
    problem = FractionalBrownianMotion()
    theta = torch.tensor([[0.4, 4.0, 1.0, 0.1, 0.5]]).double()
    turned = theta + torch.tensor([0, 0, 0, 2 * math.pi, 0])
    x = problem.simulate(theta.float(), seed=0, n_obs=60)[0]
    one, other = (problem.log_likelihood(t, x) for t in (theta, turned))
    assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.statistical
@pytest.mark.parametrize("which", range(3))
def test_likelihood_is_that_of_the_reference_draws(which: int) -> None:
    """Draws by NumPy (tools/references_series.py) are stationary for our own density.

    Eight Metropolis steps by our log likelihood and prior move no mean and no spread by 4.5
    standard errors; those whose exponent is off by an sd they do move.
    """
    problem = FractionalBrownianMotion()
    with np.load(DATA) as file:
        stored = dict(file)
    assert stored["ess"].min() > 5000
    assert stored["draws"].shape == (3, 1000, 5)
    x = torch.tensor(stored["x"][which])
    draws = torch.tensor(stored["draws"][which]).double()
    assert problem.prior.support.check(draws).all()
    inside = draws[0]

    def log_posterior(theta: torch.Tensor) -> torch.Tensor:
        log_prior = problem.prior.log_prob(theta)
        safe = torch.where(log_prior.isfinite()[:, None], theta, inside)
        return log_prior + problem.log_likelihood(safe, x)

    assert moved_by_metropolis(log_posterior, draws, reach=0.5) < 4.5
    shifted = draws + torch.tensor([1.0, 0, 0, 0, 0]) * draws.std(0)
    shifted = shifted[log_posterior(shifted).isfinite()]
    assert moved_by_metropolis(log_posterior, shifted, reach=0.5) > 4.5


# ------------------------------------------------------------------------------ edges, bad input


@pytest.mark.parametrize("n", [1, 2, 3, 100, 1000])
def test_any_length_and_seed(n: int) -> None:
    problem = FractionalBrownianMotion()
    theta, x = problem.sample(8, seed=0, device="cpu", n_obs=n)
    assert x.shape == (8, n, 1)
    assert torch.equal(problem.sample(8, seed=0, device="cpu", n_obs=n)[1], x)
    assert not torch.equal(problem.simulate(theta, seed=1, n_obs=n), x)
    double = problem._simulator(theta.double(), n)
    assert double.dtype == torch.float64
    assert problem._simulator(theta, n).dtype == torch.float32


def test_every_prior_draw_simulates() -> None:
    """Exponents 0 and 1, which rounding may give, and whatever 5,000 draws bring."""
    problem = FractionalBrownianMotion()
    edges = torch.tensor([
        [0.0, 4.0, 1.0, 0.0, 0.1], [1.0, 9.0, 5.0, 6.28, 1.0],
        [1e-7, 1.0, 0.0, 0.0, 0.1], [1 - 2.0**-24, 4.0, 1.0, 1.0, 0.5],
    ])  # fmt: skip
    theta = torch.cat([problem.sample_prior(5000, seed=1, device="cpu"), edges])
    for n in (100, 1000):
        x = problem.simulate(theta[-1500:], seed=0, n_obs=n)
        assert torch.isfinite(x).all()
        assert x.abs().max() < 60
    # At 1 the path is a straight line through 0.
    line = x[-3, :, 0] - problem.rhythm(theta[-3:-2], n)[0]
    assert torch.allclose(line, line[-1] * torch.tensor(grid(n)).float(), atol=1e-3)
    some = problem.log_likelihood(theta[:300], x[0, ::10])
    assert torch.isfinite(some).all()


def test_a_data_set_does_not_depend_on_its_neighbours() -> None:
    problem = FractionalBrownianMotion()
    theta, other = (problem.sample_prior(8, seed=s, device="cpu") for s in (0, 1))
    other[3] = theta[3]
    first, second = (problem.simulate(rows, seed=5, n_obs=60) for rows in (theta, other))
    assert torch.allclose(first[3], second[3], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(first[2], second[2], rtol=1e-2)


def test_latents_and_support() -> None:
    problem = FractionalBrownianMotion(n_obs=3)
    model = small_model(problem).standardise(seed=0)
    theta = problem.sample_prior(5000, seed=2, device="cpu")
    back = model.to_latent.inverse(model.to_latent(theta))
    assert torch.allclose(back, theta, rtol=1e-4, atol=1e-5)
    draws = model.sample(torch.ones(3, 1), 20_000, seed=0, steps=4)
    assert problem.prior.support.check(draws).all()
    assert ((draws[:, 0] >= 0) & (draws[:, 0] <= 1)).all()
    assert (draws[:, 1:3] > 0).all()
    outside = theta[:5].clone()
    outside[range(5), range(5)] = torch.tensor([1.1, -1.0, -0.1, 6.4, 0.05])
    assert (problem.prior.log_prob(outside) == -math.inf).all()


def test_bad_input() -> None:
    for n_obs in (0, -1, (0, 3), (5, 4), 1.5):
        with pytest.raises(ValueError, match="n_obs must be an int"):
            FractionalBrownianMotion(n_obs)  # type: ignore[arg-type]
    theta = torch.tensor([0.5, 4.0, 1.0, 1.0, 0.5])
    for x, words in (
        (torch.zeros(5, 2), "F = 1"),
        (torch.full((5, 1), math.nan), "NaN"),
        (torch.zeros(0, 1), "at least one observation"),
        (torch.zeros(2, 3, 1), "one data set"),
    ):
        with pytest.raises(ValueError, match=words):
            FractionalBrownianMotion().log_likelihood(theta, x)
    with pytest.raises(ds.NoExactPosterior, match="fractional_brownian_motion"):
        FractionalBrownianMotion().posterior(torch.zeros(3, 1))


def test_config_and_name() -> None:
    problem = FractionalBrownianMotion((5, 9))
    again = ds.problems.get("fractional_brownian_motion", **problem.config())
    assert again.n_obs == (5, 9)
    assert again.data_kind == "sequence"
    first, second = (p.sample(3, seed=0, device="cpu")[1] for p in (problem, again))
    assert torch.equal(first, second)
