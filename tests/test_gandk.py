"""GAndK: its law against SciPy, its likelihood against quadrature, its references."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import KS_ALPHA, small_model
from scipy import integrate, optimize, stats

import diffsbi_edu as ds
from diffsbi_edu.problems import GAndK
from diffsbi_edu.problems.gandk import inverse_quantile, log_slope, quantile

DATA = Path(__file__).resolve().parent / "data" / "references_g_and_k.npz"
THETAS = [[0.0, 1.0, 0.0, 0.0], [0.5, 0.3, 2.0, 1.0], [-1.0, 2.0, -3.0, 0.5], [0.0, 1.0, 1.0, 2.5]]


def bend(z: float, theta: list[float]) -> float:
    a, b, g, k = theta
    lean = (1 - math.exp(-g * z)) / (1 + math.exp(-g * z))  # the textbook's tanh(g z / 2)
    return a + b * (1 + 0.8 * lean) * (1 + z**2) ** k * z


def test_quantile_is_the_textbooks() -> None:
    for theta in THETAS:
        for z in (-3.0, -0.5, 0.0, 0.1, 2.0):
            ours = quantile(*(torch.tensor(v, dtype=torch.float64) for v in (z, theta)))
            assert float(ours) == pytest.approx(bend(z, theta), rel=1e-12, abs=1e-12)


@pytest.mark.statistical
def test_simulator_has_its_law() -> None:
    """Prior by SciPy; for fixed theta the CDF of x is Phi(z(x)) by SciPy's root finder. 1e-4."""
    problem = GAndK()
    theta, x = problem.sample(20_000, seed=0, device="cpu", n_obs=2)
    laws = (stats.norm, stats.gamma(5, scale=0.2), stats.norm, stats.gamma(7, scale=1 / 7))
    for values, law in zip(theta.double().T.numpy(), laws, strict=True):
        assert stats.kstest(values, law.cdf).pvalue > KS_ALPHA
    assert np.abs(np.corrcoef(theta.T) - np.eye(4)).max() < 5 / 20_000**0.5
    assert x.shape == (20_000, 2, 1)
    for theta_row in THETAS:
        rows = torch.tensor([theta_row])
        values = problem.simulate(rows, seed=1, n_obs=800)[0, :, 0].double().numpy()
        inside = np.abs(values) < 1
        heights = 10 * np.arctanh(values[inside])
        z = [optimize.brentq(lambda z, y=y, t=theta_row: bend(z, t) - y, -9, 9) for y in heights]
        level = stats.norm.cdf(z)
        assert stats.kstest(level, stats.uniform.cdf).pvalue > KS_ALPHA


@given(a=st.floats(-5, 5), b=st.floats(0.01, 5), g=st.floats(-6, 6), k=st.floats(0, 5),
       z=st.floats(-10, 10))  # fmt: skip
def test_inverse_and_slope(a: float, b: float, g: float, k: float, z: float) -> None:
    theta = torch.tensor([a, b, g, k], dtype=torch.float64)
    at = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    y = quantile(at, theta)
    (slope,) = torch.autograd.grad(y, at)
    assert float(log_slope(at.detach(), theta)) == pytest.approx(math.log(slope), abs=1e-9)
    back = float(inverse_quantile(y.detach(), theta))
    assert back == pytest.approx(z, abs=1e-9 + 1e-14 * abs(a) / float(slope))


@pytest.mark.parametrize("theta", THETAS)
def test_density_integrates_to_one(theta: list[float]) -> None:
    """Over |x| < 0.998, by quadrature; what is missing to 1 by SciPy's root finder."""
    problem, at = GAndK(), torch.tensor(theta)
    edge = 0.998

    def density(y: float) -> float:  # of y: x is stored in float32, so y must be as well
        x = math.tanh(y / 10)
        log_density = float(problem.log_likelihood(at, torch.tensor([[x]], dtype=torch.float64)))
        return math.exp(log_density) * (1 - x**2) / 10

    limit = 10 * math.atanh(edge)
    inside, _ = integrate.quad(density, -limit, limit, epsabs=1e-6, limit=200, points=[theta[0]])
    roots = [optimize.brentq(lambda z, y=y: bend(z, theta) - y, -99, 99) for y in (-limit, limit)]
    assert inside == pytest.approx(np.diff(stats.norm.cdf(roots))[0], abs=1e-4)


@pytest.mark.parametrize("theta", THETAS[1:])
def test_stored_numbers_next_to_one_have_their_probabilities(theta: list[float]) -> None:
    """Σ p(x) × length over all float32 numbers from x to 1 is P(y beyond), for either end."""
    start = torch.tensor(1 - 1e-5, dtype=torch.float32)
    numbers = [start]
    while float(numbers[-1]) < 1:
        numbers.append(torch.nextafter(numbers[-1], torch.tensor(2.0)))
    x = torch.stack(numbers).double()
    below = torch.nextafter(torch.stack(numbers), torch.tensor(0.0)).double()
    inner = (x + below) / 2
    length = torch.cat([inner[1:], torch.ones(1).double()]) - inner
    at = torch.tensor(theta).double()
    for sign in (1.0, -1.0):
        logs = [float(GAndK().log_likelihood(at, torch.tensor([[sign * v]]))) for v in x.tolist()]
        total = float((torch.tensor(logs).double().exp() * length).sum())
        y = sign * 10 * math.atanh(float(inner[0]))
        z = optimize.brentq(lambda z, y=y: bend(z, theta) - y, -30, 30)
        assert total == pytest.approx(stats.norm.cdf(-sign * z), rel=1e-4)


def test_the_two_ways_to_a_likelihood_meet() -> None:
    """Across 1 − |x| = 1e-3, where one takes over from the other, log p(x) goes on smoothly."""
    x = torch.tensor([0.99897, 0.99899, 0.99901, 0.99903], dtype=torch.float32)
    for theta in THETAS[1:]:
        at = torch.tensor(theta)
        steps = np.diff([float(GAndK().log_likelihood(at, v[None, None])) for v in x])
        assert steps[1] == pytest.approx((steps[0] + steps[2]) / 2, rel=2e-2, abs=1e-4)


def test_likelihood_takes_shapes_and_extremes() -> None:
    problem = GAndK()
    theta, x = problem.sample(6, seed=0, device="cpu", n_obs=300)
    joint = problem.log_likelihood(theta.reshape(2, 3, 4), x[0])
    assert joint.shape == (2, 3)
    assert joint.dtype == torch.float64
    each = sum(problem.log_likelihood(theta, value[None]) for value in x[0])
    assert torch.allclose(joint.flatten(), each, rtol=1e-9)
    ends = torch.tensor([[1.0], [-1.0], [0.0], [1 - 2.0**-24]])
    assert torch.isfinite(problem.log_likelihood(problem.sample_prior(500, seed=1), ends)).all()
    assert torch.allclose(problem.unsquash(problem.squash(torch.tensor([-3.0, 40.0]))),
                          torch.tensor([-3.0, 40.0]), rtol=1e-2)  # fmt: skip


@pytest.mark.statistical
@pytest.mark.parametrize("size", [100, 500])
def test_likelihood_is_that_of_the_reference_draws(size: int) -> None:
    """NumPy's Metropolis draws (tools/references.py) are stationary for our own density.

    Six Metropolis steps from each of 250 stored draws, by our log likelihood and prior, must change
    no mean and no spread by 4.5 standard errors.
    """
    problem, generator = GAndK(), torch.Generator().manual_seed(0)
    with np.load(DATA) as file:
        stored = dict(file)
    assert stored[f"rhat_{size}"].max() < 1.02
    assert stored[f"ess_{size}"].min() > 500
    for which in range(2):
        x = torch.tensor(stored[f"x_{size}"][which])[:, None]
        draws = torch.tensor(stored[f"draws_{size}"][which][::4]).double()
        factor = torch.linalg.cholesky(torch.cov(draws.T)) * 2.38 / 2

        def log_post(theta: torch.Tensor, x: torch.Tensor = x) -> torch.Tensor:
            log_prior = problem.prior.log_prob(theta)
            safe = theta.clone()
            safe[:, 1::2] = safe[:, 1::2].clamp_min(1e-3)
            return log_prior + problem.log_likelihood(safe, x)

        theta, now, moved = draws.clone(), log_post(draws), 0
        for _ in range(6):
            proposal = theta + torch.randn(theta.shape, generator=generator).double() @ factor.T
            new = log_post(proposal)
            accept = torch.rand(len(theta), generator=generator).double().log() < new - now
            theta = torch.where(accept[:, None], proposal, theta)
            now, moved = torch.where(accept, new, now), moved + int(accept.sum())
        assert moved > len(draws)
        centre = draws.mean(0)
        for first, second in ((draws, theta), ((draws - centre) ** 2, (theta - centre) ** 2)):
            change = second - first
            assert (change.mean(0).abs() < 4.5 * change.std(0) / len(change) ** 0.5).all()


@pytest.mark.parametrize("n", [1, 2, 100, 1000])
def test_any_number_of_observations(n: int) -> None:
    _, x = GAndK().sample(50, seed=0, device="cpu", n_obs=n)
    assert x.shape == (50, n, 1)
    assert (x.abs() <= 1).all()


def test_latents_and_support() -> None:
    problem = GAndK(n_obs=3)
    model = small_model(problem)
    theta = model.sample(torch.zeros(3, 1), 20_000, seed=0, steps=4)
    assert problem.prior.support.check(theta).all()
    assert (theta[:, 1] > 0).all()
    assert (theta[:, 3] > 0).all()
    assert problem.prior.log_prob(torch.tensor([0.0, -1.0, 0.0, 1.0])) == -math.inf


def test_bad_input() -> None:
    for n_obs in (0, -1, (0, 3), (5, 4), 1.5):
        with pytest.raises(ValueError, match="n_obs must be an int"):
            GAndK(n_obs)  # type: ignore[arg-type]
    theta = torch.tensor(THETAS[1])
    for x, words in (
        (torch.tensor([[0.5], [1.5]]), "between −1 and 1"),
        (torch.tensor([[math.nan]]), "NaN"),
        (torch.zeros(3, 2), "F = 1"),
        (torch.zeros(0, 1), "at least one observation"),
        (torch.zeros(2, 3, 1), "one data set"),
    ):
        with pytest.raises(ValueError, match=words):
            GAndK().log_likelihood(theta, x)
    with pytest.raises(ds.NoExactPosterior, match="g_and_k"):
        GAndK().posterior(torch.zeros(3, 1))


def test_config_and_name() -> None:
    problem = GAndK((5, 9))
    again = ds.problems.get("g_and_k", **problem.config())
    assert again.n_obs == (5, 9)
    assert again.data_kind == "set"
    first, second = (p.sample(3, seed=0, device="cpu")[1] for p in (problem, again))
    assert torch.equal(first, second)
