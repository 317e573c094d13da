"""LotkaVolterra: its solver, its noise and its likelihood against SciPy's."""

from __future__ import annotations

import itertools
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import KS_ALPHA, moved_by_metropolis, small_model
from scipy import integrate, stats

import diffsbi_edu as ds
from diffsbi_edu.problems import LotkaVolterra
from diffsbi_edu.problems.lotka_volterra import populations

DATA = Path(__file__).resolve().parent / "data" / "references_lotka_volterra.npz"
EDGES = [(0.5, 1.0), (0.01, 0.1), (0.01, 0.5), (0.005, 0.05)]
CORNERS = np.array(list(itertools.product(*EDGES)))
INSIDE = np.random.default_rng(0).uniform(*np.array(EDGES).T, size=(60, 4))


@cache
def solution(rates: tuple[float, ...]) -> object:
    """SciPy's eighth-order solution at tolerances of 1e-11, as a function of time."""

    def change(_: float, w: np.ndarray) -> list[float]:
        alpha, beta, gamma, delta = rates
        return [alpha - beta * math.exp(w[1]), delta * math.exp(w[0]) - gamma]

    start = np.log([20.0, 5.0])
    return integrate.solve_ivp(
        change, (0, 30), start, "DOP853", rtol=1e-11, atol=1e-11, dense_output=True
    ).sol


def scipys(rates: np.ndarray, n: int) -> np.ndarray:
    t = np.linspace(0, 30, n)
    return np.stack([np.exp(solution(tuple(row))(t)).T for row in rates])


def furthest(ours: torch.Tensor, rates: np.ndarray) -> np.ndarray:
    """Largest error of each solution, in animals."""
    return np.abs(ours.numpy() - scipys(rates, ours.shape[1])).max((1, 2))


# -------------------------------------------------------------------------------- the equation


@pytest.mark.parametrize("n", [1, 2, 7, 200, 399, 500, 1000])
def test_solver_is_scipys(n: int) -> None:
    """Within 0.015 animals in the prior's corners, as stated; within 5e-4 for nine in ten."""
    assert furthest(populations(torch.tensor(CORNERS), n), CORNERS).max() < 0.015
    inside = furthest(populations(torch.tensor(INSIDE), n), INSIDE)
    assert inside.max() < 0.015
    assert np.quantile(inside, 0.9) < 5e-4
    assert populations(torch.tensor(CORNERS), n)[:, 0].numpy() == pytest.approx(
        np.tile([20.0, 5.0], (16, 1)), rel=1e-12
    )


def test_wrong_equations_would_be_seen() -> None:
    """Rates off by a thousandth, or in another order, are further from SciPy's than the solver."""
    for change in (
        lambda r: r * [1.001, 1, 1, 1],
        lambda r: r * [1, 1, 1.001, 1],
        lambda r: r[:, [0, 3, 2, 1]],
    ):
        wrong = np.ascontiguousarray(change(INSIDE))
        assert np.median(furthest(populations(torch.tensor(wrong), 200), INSIDE)) > 0.015


def test_halving_the_step_divides_the_error_by_sixteen() -> None:
    """Order 4: at 398 and at 796 steps, at the same times."""
    rates = torch.tensor(INSIDE)
    coarse, fine = (
        np.abs(path.numpy() - scipys(INSIDE, 399)).max((1, 2))
        for path in (populations(rates, 399), populations(rates, 797)[:, ::2])
    )
    assert np.median(coarse / fine) == pytest.approx(2**4, rel=0.2)


@given(rates=st.tuples(*(st.floats(*edges) for edges in EDGES)), n=st.integers(1, 500))
def test_nothing_dies_out_or_explodes(rates: tuple[float, ...], n: int) -> None:
    a, b, g, d = rates
    path = populations(torch.tensor([rates], dtype=torch.float64), n)
    assert path.shape == (1, n, 2)
    assert torch.isfinite(path).all()
    assert (path >= 0).all()
    # What the equation preserves: its drift is the solver's error.
    prey, predators = path.clamp_min(1e-290).double().unbind(-1)
    kept = d * prey - g * prey.log() + b * predators - a * predators.log()
    assert (kept - kept[:, :1]).abs().max() < 2e-3


def test_float32_rates_give_the_same() -> None:
    rates = torch.tensor(CORNERS)
    assert torch.allclose(populations(rates.float(), 300), populations(rates, 300), atol=0.02)
    theta = torch.cat([rates, torch.ones(16, 3).double() / 2], 1)
    x = LotkaVolterra()._simulator(theta, 50)
    assert x.dtype == torch.float64
    assert LotkaVolterra().simulate(theta.float(), seed=0, n_obs=50).dtype == torch.float32


# ----------------------------------------------------------------------------- noise, likelihood


def whitened(x: torch.Tensor, theta: np.ndarray, n: int) -> np.ndarray:
    """Errors of counting, made independent standard normals by NumPy's Cholesky factor."""
    off = x.double().numpy() - scipys(theta[:, :4], n)
    out = []
    for row, (r1, r2, rho) in zip(off, theta[:, 4:], strict=True):
        factor = np.linalg.cholesky([[r1**2, rho * r1 * r2], [rho * r1 * r2, r2**2]])
        out.append(np.linalg.solve(factor, row.T).T)
    return np.stack(out)


@pytest.mark.statistical
def test_noise_has_its_covariance() -> None:
    """False-alarm rate 1e-4 for the law; correlations within 5 standard errors (1e-6)."""
    rates = INSIDE[:6]
    noise = np.array([[0.3, 2.0, 0.9], [1.0, 0.2, -0.9], [1.0, 1.0, 0.0]] * 2)
    theta = np.concatenate([rates, noise], 1)
    x = LotkaVolterra().simulate(torch.tensor(theta).float(), seed=0, n_obs=2000)

    def alarms(theta: np.ndarray) -> tuple[float, float, float]:
        white = whitened(x, theta, 2000)
        p = stats.kstest(white.ravel(), stats.norm.cdf).pvalue
        between = np.mean(white[..., 0] * white[..., 1]) * white[..., 0].size ** 0.5
        after = np.mean(white[:, 1:] * white[:, :-1]) * white.size**0.5
        return p, abs(between), abs(after)

    p, between, after = alarms(theta)
    assert p > KS_ALPHA
    assert max(between, after) < 5
    less, swapped = theta.copy(), theta.copy()
    less[:, 6] -= 0.05
    swapped[:, [4, 5]] = theta[:, [5, 4]]
    assert alarms(less)[1] > 5
    assert alarms(swapped)[0] < KS_ALPHA


@pytest.mark.statistical
def test_prior_is_scipys() -> None:
    theta = LotkaVolterra().sample_prior(20_000, seed=0, device="cpu").double().numpy()
    laws = [stats.uniform(low, high - low) for low, high in [*EDGES, (-0.1, 0.1)]]
    laws[4:4] = [stats.gamma(5, scale=0.2)] * 2
    for values, law in zip(theta.T, laws, strict=True):
        assert stats.kstest(values, law.cdf).pvalue > KS_ALPHA
    assert np.abs(np.corrcoef(theta.T) - np.eye(7)).max() < 5 / 20_000**0.5


@pytest.mark.parametrize("n", [1, 2, 100])
def test_likelihood_is_scipys(n: int) -> None:
    """Sum of bivariate normals about SciPy's solution; the solver's error is worth < 0.02 nats."""
    problem = LotkaVolterra()
    theta, x = problem.sample(6, seed=0, device="cpu", n_obs=n)
    ours = problem.log_likelihood(theta.reshape(2, 3, 7), x[0])
    assert ours.shape == (2, 3)
    assert ours.dtype == torch.float64
    data, rows = x[0].double().numpy(), theta.double().numpy()
    for value, row, mean in zip(ours.flatten(), rows, scipys(rows[:, :4], n), strict=True):
        r1, r2, rho = row[4:]
        law = stats.multivariate_normal([0, 0], [[r1**2, rho * r1 * r2], [rho * r1 * r2, r2**2]])
        expected = np.sum(law.logpdf(data - mean))
        assert float(value) == pytest.approx(expected, rel=1e-4, abs=0.02)


@pytest.mark.statistical
@pytest.mark.parametrize("which", range(3))
def test_likelihood_is_that_of_the_reference_draws(which: int) -> None:
    """Draws by NumPy (tools/references_series.py) are stationary for our own density.

    Eight Metropolis steps by our log likelihood and prior move no mean and no spread by 4.5
    standard errors; draws that are shifted by half an sd they do move.
    """
    problem = LotkaVolterra()
    with np.load(DATA) as file:
        stored = dict(file)
    assert stored["ess"].min() > 5000
    assert stored["draws"].shape == (3, 1000, 7)
    x = torch.tensor(stored["x"][which])
    draws = torch.tensor(stored["draws"][which][::2]).double()
    assert problem.prior.support.check(draws).all()
    inside = draws[0]

    def log_posterior(theta: torch.Tensor) -> torch.Tensor:
        log_prior = problem.prior.log_prob(theta)
        safe = torch.where(log_prior.isfinite()[:, None], theta, inside)
        return log_prior + problem.log_likelihood(safe, x)

    assert moved_by_metropolis(log_posterior, draws) < 4.5
    shifted = draws + 0.5 * draws.std(0)
    shifted = shifted[log_posterior(shifted).isfinite()]
    assert moved_by_metropolis(log_posterior, shifted) > 4.5


# ------------------------------------------------------------------------------ edges, bad input


def test_every_prior_draw_simulates() -> None:
    """All corners of the rates, the least and the largest noise, and 2,000 draws."""
    problem = LotkaVolterra()
    theta = problem.sample_prior(2000, seed=1, device="cpu")
    corners = torch.tensor(CORNERS).float()
    tails = torch.tensor([[1e-6, 1e-6, 0.1], [15.0, 15.0, -0.1]]).repeat(8, 1)
    everything = torch.cat([theta, torch.cat([corners, tails], 1)])
    x = problem.simulate(everything, seed=0, n_obs=200)
    assert torch.isfinite(x).all()
    assert x.abs().max() < 1200
    assert torch.isfinite(problem.log_likelihood(everything[:200], x[0])).all()


@pytest.mark.parametrize("n", [1, 2, 3, 200, 501])
def test_any_length_and_seed(n: int) -> None:
    problem = LotkaVolterra()
    theta, x = problem.sample(8, seed=0, device="cpu", n_obs=n)
    assert x.shape == (8, n, 2)
    assert torch.equal(problem.sample(8, seed=0, device="cpu", n_obs=n)[1], x)
    assert not torch.equal(problem.simulate(theta, seed=1, n_obs=n), x)


def test_a_data_set_does_not_depend_on_its_neighbours() -> None:
    problem = LotkaVolterra()
    theta, other = (problem.sample_prior(8, seed=s, device="cpu") for s in (0, 1))
    other[3] = theta[3]
    first, second = (problem.simulate(rows, seed=5, n_obs=60) for rows in (theta, other))
    assert torch.allclose(first[3], second[3], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(first[2], second[2], rtol=1e-2)


def test_latents_and_support() -> None:
    problem = LotkaVolterra(n_obs=3)
    model = small_model(problem).standardise(seed=0)
    theta = problem.sample_prior(5000, seed=2, device="cpu")
    assert torch.allclose(model.to_latent.inverse(model.to_latent(theta)), theta, rtol=1e-4,
                          atol=1e-5)  # fmt: skip
    draws = model.sample(torch.ones(3, 2), 20_000, seed=0, steps=4)
    assert problem.prior.support.check(draws).all()
    low, high = (torch.tensor(edge) for edge in zip(*EDGES, strict=True))
    assert ((draws[:, :4] >= low) & (draws[:, :4] <= high)).all()
    assert (draws[:, 4:6] > 0).all()
    outside = theta[:6].clone()
    outside[range(6), [0, 1, 2, 3, 4, 6]] = torch.tensor([1.1, 0.0, 0.6, 0.06, -1.0, 0.2])
    assert (problem.prior.log_prob(outside) == -math.inf).all()


def test_bad_input() -> None:
    for n_obs in (0, -1, (0, 3), (5, 4), 1.5):
        with pytest.raises(ValueError, match="n_obs must be an int"):
            LotkaVolterra(n_obs)  # type: ignore[arg-type]
    theta = torch.ones(7) / 10
    for x, words in (
        (torch.zeros(5, 1), "F = 2"),
        (torch.full((5, 2), math.nan), "NaN"),
        (torch.zeros(0, 2), "at least one observation"),
        (torch.zeros(2, 3, 2), "one data set"),
    ):
        with pytest.raises(ValueError, match=words):
            LotkaVolterra().log_likelihood(theta, x)
    with pytest.raises(ds.NoExactPosterior, match="lotka_volterra"):
        LotkaVolterra().posterior(torch.zeros(3, 2))


def test_config_and_name() -> None:
    problem = LotkaVolterra((5, 9))
    again = ds.problems.get("lotka_volterra", **problem.config())
    assert again.n_obs == (5, 9)
    assert again.data_kind == "sequence"
    first, second = (p.sample(3, seed=0, device="cpu")[1] for p in (problem, again))
    assert torch.equal(first, second)
