"""SLCP: simulator and posterior against SciPy, a grid in theta itself, Metropolis steps and SBC."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ranks import calibrated, p_values
from references import KS_ALPHA, small_model
from scipy import integrate, special, stats

import diffsbi_edu as ds
from diffsbi_edu.problems import SLCP
from diffsbi_edu.problems.posterior import ExactPosterior
from diffsbi_edu.problems.slcp_posterior import SLCPPosterior, _upper_gamma

CENTRAL = [[0.3, -0.2], [-0.5, 0.4], [0.1, 0.5], [0.2, -0.4]]
TIGHT = [[1.0, -1.02], [1.2, -0.79], [0.9, -1.13], [1.1, -0.92]]  # correlation 0.99
WALLS = [[2.5, -4.0], [3.5, 1.0], [2.9, -6.0], [4.0, -2.0]]


def covariance(theta: np.ndarray) -> np.ndarray:
    s1, s2, rho = theta[2] ** 2, theta[3] ** 2, math.tanh(theta[4])
    return np.array([[s1**2, rho * s1 * s2], [rho * s1 * s2, s2**2]])


@pytest.mark.statistical
@pytest.mark.parametrize("theta", [[0.5, -2.0, 1.2, -0.7, 0.8], [0.0, 1.0, -2.0, 2.5, -2.9]])
def test_simulator_has_its_law(theta: list[float]) -> None:
    """Points whitened by NumPy's Cholesky factor are standard normal and independent."""
    rows = torch.tensor([theta]).expand(20_000, 5)
    x = SLCP().simulate(rows, seed=0).double().numpy()
    assert x.shape == (20_000, 4, 2)
    factor = np.linalg.cholesky(covariance(np.array(theta)))
    eps = np.linalg.solve(factor, (x - theta[:2]).reshape(-1, 2).T).T
    for column in eps.T:
        assert stats.kstest(column, stats.norm.cdf).pvalue > KS_ALPHA
    assert np.abs(np.corrcoef(eps.reshape(20_000, 8).T) - np.eye(8)).max() < 5 / 20_000**0.5
    assert SLCP().sample(3, seed=0)[1].shape == (3, 4, 2)


def log_posterior(theta: np.ndarray, x: np.ndarray) -> float:
    if np.abs(theta).max() > 3:
        return -math.inf
    law = stats.multivariate_normal(theta[:2], covariance(theta), allow_singular=False)
    return float(law.logpdf(x).sum() - 5 * math.log(6))


@pytest.mark.parametrize("x", [CENTRAL, TIGHT, WALLS])
def test_density_is_prior_times_likelihood(x: list[list[float]]) -> None:
    exact = SLCP().posterior(torch.tensor(x))
    draws = exact.sample((60,), seed=0)
    wanted = [log_posterior(row, np.array(x)) for row in draws.double().numpy()]
    constant = exact.log_prob(draws).double().numpy() - wanted
    assert np.ptp(constant) < 1e-3
    assert constant.mean() == pytest.approx(-exact.log_evidence, abs=1e-3)
    assert (draws.abs() <= 3).all()
    assert exact.log_prob(torch.tensor([0.0, 0.0, 1.0, 3.1, 0.0])) == -math.inf
    assert exact.log_prob(torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0])) == -math.inf


def theta_grid(x: np.ndarray, n: tuple[int, int, int], most: tuple[float, float]) -> tuple:
    """Unnormalised density of (|θ3|, |θ4|, θ5), θ1 and θ2 integrated over the whole plane."""
    a, b = (np.linspace(0, m, k + 1)[1:] - m / k / 2 for m, k in zip(most, n[:2], strict=True))
    c = (np.arange(n[2]) + 0.5) * 6 / n[2] - 3
    s1, s2, rho = (a**2)[:, None, None], (b**2)[:, None], np.tanh(c)
    scatter = (x - x.mean(0)).T @ (x - x.mean(0))
    with np.errstate(all="ignore"):
        q = scatter[0, 0] / s1**2 + scatter[1, 1] / s2**2 - 2 * rho * scatter[0, 1] / (s1 * s2)
        logs = -0.5 * q / (1 - rho**2) - 3 * np.log(s1 * s2) - 1.5 * np.log1p(-(rho**2))
    cell = most[0] / n[0] * most[1] / n[1] * 6 / n[2]
    logs += math.log(2 * math.pi / 4) - 4 * math.log(2 * math.pi) + math.log(4 * cell)
    return (a, b, c), logs - 5 * math.log(6)


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("x", "sizes", "tolerance"),
    [(CENTRAL, (160, 160, 100), 1e-3), (TIGHT, (250, 250, 80), 1e-2)],
)
def test_spreads_and_evidence_by_a_grid_in_theta(
    x: list[list[float]], sizes: tuple[int, int, int], tolerance: float
) -> None:
    """Without the cut, all is known on a grid of (θ3, θ4, θ5): evidence and marginals."""
    exact = SLCP().posterior(torch.tensor(x))
    axes, logs = theta_grid(np.array(x, dtype=np.float32).astype(float), sizes, (3.0, 3.0))
    before_cut = special.logsumexp(logs)
    ours = exact.log_evidence - math.log(exact.inside)
    assert ours == pytest.approx(before_cut, abs=tolerance)
    mass = np.exp(logs - before_cut)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        proposals = exact._proposals(20_000).numpy()
    for axis, column in ((0, 2), (1, 3), (2, 4)):
        marginal = mass.sum(tuple({0, 1, 2} - {axis}))
        step = axes[axis][1] - axes[axis][0]
        values = np.abs(proposals[:, column]) if axis < 2 else proposals[:, column]
        edges = np.append(axes[axis] - step / 2, axes[axis][-1] + step / 2)
        cdf = np.append(0, marginal.cumsum())
        cdf /= cdf[-1]
        level = np.interp(values, edges, cdf)
        # The grid itself is off by up to half the tolerance where the ridge is narrow.
        p = stats.kstest(level, "uniform")
        assert p.pvalue > KS_ALPHA or p.statistic < tolerance
    signs = (proposals[:, 2] > 0) * 2 + (proposals[:, 3] > 0)
    assert stats.chisquare(np.bincount(signs.astype(int), minlength=4)).pvalue > KS_ALPHA


@pytest.mark.statistical
@pytest.mark.parametrize("seed", range(4))
def test_the_share_inside_the_box(seed: int) -> None:
    """By quadrature, and by counting: 4.5 standard errors, and 2 parts in a thousand."""
    _, x = SLCP().sample(1, seed=seed, device="cpu")
    exact = SLCP().posterior(x[0])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        means = exact._proposals(100_000)[:, :2]
    share = float((means.abs() <= 3).all(1).double().mean())
    error = 4.5 * math.sqrt(share * (1 - share) / 100_000)
    assert exact.inside == pytest.approx(share, abs=error + 2e-3 * share)


@pytest.mark.statistical
@pytest.mark.parametrize("x", [CENTRAL, WALLS])
def test_draws_are_stationary_for_metropolis(x: list[list[float]]) -> None:
    """Twenty Metropolis steps by a density written anew move no moment by 4.5 standard errors."""
    data, rng = np.array(x, dtype=np.float32).astype(float), np.random.default_rng(0)
    start = SLCP().posterior(torch.tensor(x)).sample((20_000,), seed=0).double().numpy()

    def log_density(theta: np.ndarray) -> np.ndarray:
        s, rho = theta[:, 2:4] ** 2, np.tanh(theta[:, 4])
        u = (data[:, None, :] - theta[:, :2]) / s
        squares = (u**2).sum(-1) - 2 * rho * u[..., 0] * u[..., 1]
        logs = -0.5 * squares / (1 - rho**2) - np.log(s).sum(1) - 0.5 * np.log1p(-(rho**2))
        return np.where(np.abs(theta).max(1) > 3, -math.inf, logs.sum(0))

    theta, now, moved = start.copy(), log_density(start), 0
    scale = np.minimum(start.std(0), 1.0) * 0.4
    for _ in range(20):
        new = theta + rng.normal(size=theta.shape) * scale
        with np.errstate(all="ignore"):
            proposed = log_density(new)
        accept = np.log(rng.uniform(size=len(theta))) < proposed - now
        theta[accept], now[accept] = new[accept], proposed[accept]
        moved += int(accept.sum())
    assert moved > 40_000
    for quantity in (
        lambda t: t[:, :2], lambda t: np.abs(t[:, 2:4]), lambda t: t[:, 4:],
        lambda t: t[:, 4:] ** 2, lambda t: (t[:, :2] - data.mean(0)) ** 2,
        lambda t: np.abs(t[:, 2:3]) * np.abs(t[:, 3:4]), lambda t: t[:, 4:] * t[:, :2],
    ):  # fmt: skip
        change = quantity(theta) - quantity(start)
        assert (np.abs(change.mean(0)) < 4.5 * change.std(0) / len(change) ** 0.5).all()


class WithoutTheCut(SLCPPosterior):
    """A known failure: means outside the prior's box are kept."""

    def _draw(self, n: int) -> torch.Tensor:
        return self._proposals(n)


class OneMode(SLCPPosterior):
    """Another: θ3 is always positive."""

    def _draw(self, n: int) -> torch.Tensor:
        draws = super()._draw(n)
        draws[:, 2] = draws[:, 2].abs()
        return draws


@pytest.mark.statistical
def test_exact_posterior_is_calibrated_and_wrong_ones_are_not() -> None:
    problem = SLCP()
    also = (lambda t: t[:, 2].abs(), lambda t: t[:, 3].abs(), lambda t: t[:, :2].abs().amax(1))
    assert calibrated(p_values(problem, 250, also=also))
    for kind in (WithoutTheCut, OneMode):

        def wrong(x: torch.Tensor, kind: type[SLCPPosterior] = kind) -> ExactPosterior:
            return kind(x)

        assert not calibrated(p_values(problem, 120, posterior=wrong, also=also))


def test_incomplete_gamma_is_scipys() -> None:
    y = np.array([0.0, 1e-8, 0.1, 1.0, 2.5, 30.0, 600.0])
    assert np.allclose(_upper_gamma(torch.tensor(y)), special.gammaincc(2.5, y), rtol=1e-12)
    area, _ = integrate.quad(lambda t: t**1.5 * math.exp(-t), 1.0, np.inf)
    ours = float(_upper_gamma(torch.tensor(1.0).double()))
    assert ours == pytest.approx(area / math.gamma(2.5), rel=1e-7)


def test_latents_and_support() -> None:
    problem = SLCP()
    model = small_model(problem)  # no encoder is needed
    theta = model.sample(torch.zeros(4, 2), 2000, seed=0, steps=4)
    assert problem.prior.support.check(theta).all()
    z = model.to_latent(theta)
    assert torch.allclose(model.to_latent.inverse(z), theta, atol=1e-4)
    assert model.to_latent.prior.gaussian_prior
    assert small_model(problem, encoder=ds.encoders.DeepSets(2, 8)).summary_dim == 8


def test_points_closer_than_float32_can_tell() -> None:
    """The simulator makes them for θ3 near 0: the posterior says so, and stays a posterior."""
    x = torch.tensor(CENTRAL)
    x[:, 0] = -1.2233033
    exact = SLCP().posterior(x)
    draws = exact.sample((2000,), seed=0)
    assert (draws[:, 2].abs() < 3e-3).all()
    assert (draws[:, 2] < 0).any()
    assert torch.allclose(draws[:, 0], x[0, 0], atol=1e-5)
    assert float(draws[:, 3].abs().median()) > 0.2
    assert torch.isfinite(exact.log_prob(draws)).all()
    theta = torch.tensor([[1.0, 0.0, 3e-4, 1.0, 0.5]]).expand(2000, 5)
    for row in SLCP().simulate(theta, seed=0)[:50]:
        assert torch.isfinite(SLCP().posterior(row).sample((3,), seed=0)).all()


def test_bad_input() -> None:
    for x, words in (
        (torch.zeros(4, 3), "F = 2"),
        (torch.zeros(3, 2), "N = 4"),
        (torch.full((4, 2), math.nan), "NaN"),
        (torch.tensor(CENTRAL) * 1e6, "no theta in the prior's support"),
    ):
        with pytest.raises(ValueError, match=words):
            SLCP().posterior(x)
    with pytest.raises(ValueError, match="too improbable to draw from"):
        SLCP().posterior(torch.tensor(CENTRAL) + 2000).sample((3,), seed=0)


def test_config_rebuilds_the_problem() -> None:
    again = ds.problems.get("slcp", **SLCP().config())
    assert torch.equal(SLCP().sample(5, seed=0)[1], again.sample(5, seed=0)[1])
    assert again.data_kind == "set"
