"""Witch's hat, sum of cosines, Dirichlet-multinomial: against SciPy, quadrature and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import KS_ALPHA, grid_2d
from scipy import integrate, ndimage, stats

import diffsbi_edu as ds
from diffsbi_edu.problems import DirichletMultinomial, Problem, SumOfCosines, WitchsHat
from diffsbi_edu.problems.counts import multinomial

N = 100_000
THREE = {
    "hat": WitchsHat(2, width=0.05, brim=0.2),
    "cosines": SumOfCosines(),
    "counts": DirichletMultinomial((1.5, 2.5, 4.0), total=40),
}
over_three = pytest.mark.parametrize("problem", THREE.values(), ids=THREE.keys())


def ks(values: torch.Tensor, cdf: object) -> float:
    return float(stats.kstest(values.double().numpy().ravel(), cdf).pvalue)


# ----------------------------------------------------------------------------------- simulators


@pytest.mark.statistical
def test_hat_simulator_has_its_law() -> None:
    """Offsets are a mixture of narrow normals and a flat brim; coordinates share the coin."""
    width, brim = 0.03, 0.3
    theta, x = WitchsHat(3, width, brim).sample(N, seed=0, device="cpu")
    assert ks(theta, stats.uniform(0.1, 0.8).cdf) > KS_ALPHA
    off = (x[:, 0] - theta) / width
    near = (off.abs() < 6).all(1)
    # A brim draw is within 6 widths of theta in all three coordinates with probability < (12 w)^3.
    wanted = 1 - brim + brim * (12 * width) ** 3
    assert 1 - brim - 5 * 0.5 / N**0.5 < near.float().mean() < wanted + 5 * 0.5 / N**0.5
    assert ks(x[~near, 0], stats.uniform(0, 1).cdf) < 0.5  # without the near ones: not quite flat
    far = x[:, 0][(off.abs() > 6).any(1) & (theta[:, 0] < 0.2)][:, 0]
    flat = far[far > 0.4]  # out of the spike's reach: uniform on what is left
    assert ks(flat, stats.uniform(0.4, 0.6).cdf) > KS_ALPHA
    # The spike itself, where the brim can hardly reach.
    tight_theta, tight_x = WitchsHat(3, 1e-4, brim).sample(N, seed=1, device="cpu")
    tight = (tight_x[:, 0] - tight_theta) / 1e-4
    tight = tight[(tight.abs() < 20).all(1)]
    assert abs(len(tight) / N - (1 - brim)) < 5 * 0.5 / N**0.5
    assert abs(float(tight.mean())) < 5 / (3 * len(tight)) ** 0.5
    assert abs(float(tight.var()) - 1) < 5 * (2 / (3 * len(tight))) ** 0.5 + 0.02  # float32 x


@pytest.mark.statistical
def test_cosines_simulator_has_its_law() -> None:
    theta, x = SumOfCosines(noise=0.5).sample(N, seed=0, device="cpu")
    assert x.shape == (N, 1, 1)
    assert ks(theta, stats.uniform(-np.pi, 2 * np.pi).cdf) > KS_ALPHA
    a, b = theta.double().numpy().T
    mean = np.cos(a - b) + np.cos(2 * a + b) + np.cos(3 * a - 4 * b)
    assert stats.kstest((x[:, 0, 0].numpy() - mean) / 0.5, stats.norm.cdf).pvalue > KS_ALPHA


@pytest.mark.statistical
def test_counts_are_multinomial() -> None:
    """Every outcome of a small multinomial against SciPy's probabilities, by chi-squared."""
    shares = torch.tensor([0.25, 0.5, 0.25])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        counts = multinomial(4, shares.expand(N, 3))
    assert (counts.sum(1) == 4).all()
    law = stats.multinomial(4, shares.double().numpy())
    outcomes = [(i, j, 4 - i - j) for i in range(5) for j in range(5 - i)]
    seen = [int((counts == torch.tensor(o)).all(1).sum()) for o in outcomes]
    assert sum(seen) == N
    assert stats.chisquare(seen, [N * law.pmf(o) for o in outcomes], sum_check=False).pvalue > 1e-4


def test_counts_of_certain_and_impossible_categories() -> None:
    sure = multinomial(7, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert sure.tolist() == [[7, 0, 0], [0, 0, 7]]


@over_three
def test_simulations_repeat_with_their_seed(problem: Problem) -> None:
    first, again = (problem.sample(50, seed=3, device="cpu") for _ in range(2))
    other = problem.sample(50, seed=4, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])


# ---------------------------------------------------------------------------- exact posteriors


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    x=st.lists(st.floats(-0.1, 1.1), min_size=2, max_size=2),
    width=st.floats(0.02, 0.5),
    brim=st.floats(0.01, 0.9),
)
def test_hat_posterior_is_bayes_rule_by_quadrature(
    x: list[float], width: float, brim: float
) -> None:
    exact = WitchsHat(2, width, brim).posterior(torch.tensor([x]))
    grid, cell = grid_2d([0.1, 0.1], [0.9, 0.9], 400)
    spike = stats.norm.pdf(grid.numpy(), x, width).prod(1)
    likelihood = (1 - brim) * spike + brim
    density = likelihood / (likelihood.sum() * cell)
    assert np.allclose(exact.log_prob(grid).numpy(), np.log(density), atol=2e-3)
    share = brim / (likelihood.sum() * cell) * 0.64
    assert exact.brim_mass == pytest.approx(share, rel=2e-3)


@settings(derandomize=True, deadline=None, max_examples=15)
@given(x=st.floats(-5, 5), noise=st.floats(0.3, 3))
def test_cosines_posterior_is_bayes_rule_by_adaptive_quadrature(x: float, noise: float) -> None:
    exact = SumOfCosines(noise).posterior(torch.tensor([[x]]))

    def likelihood(b: np.ndarray, a: np.ndarray) -> np.ndarray:
        mean = np.cos(a - b) + np.cos(2 * a + b) + np.cos(3 * a - 4 * b)
        return np.exp(-0.5 * ((x - mean) / noise) ** 2)

    # Periodic and smooth: the trapezoidal rule on a grid of another size is an independent check.
    line = np.linspace(-np.pi, np.pi, 701)[:-1]
    values = likelihood(line[None, :], line[:, None])
    total = values.mean() * (2 * np.pi) ** 2
    theta = torch.tensor([[0.3, -2.0], [3.0, 3.0], [-1.0, 1.5]])
    wanted = np.log([likelihood(b, a) / total for a, b in theta.double().numpy()])
    assert np.allclose(exact.log_prob(theta).numpy(), wanted, atol=1e-4)


def test_cosines_posterior_against_scipys_dblquad() -> None:
    exact = SumOfCosines().posterior(torch.tensor([[1.5]]))
    total, _ = integrate.dblquad(
        lambda b, a: float(exact.log_prob(torch.tensor([a, b])).exp()),
        -math.pi, math.pi, -math.pi, math.pi, epsabs=2e-3, epsrel=2e-3,
    )  # fmt: skip
    assert total == pytest.approx(1.0, abs=5e-3)


def test_cosines_table_is_the_density() -> None:
    exact = SumOfCosines().posterior(torch.tensor([[2.0]]))
    axis, density = exact.table()
    cell = float(axis[1] - axis[0])
    assert float(density.double().sum()) * cell**2 == pytest.approx(1.0, abs=1e-4)
    corner = torch.tensor([float(axis[10]), float(axis[400])])
    assert float(density[10, 400]) == pytest.approx(float(exact.log_prob(corner).exp()), rel=1e-4)


def test_dirichlet_posterior_is_scipys() -> None:
    problem = DirichletMultinomial((1.5, 2.5, 4.0), total=20)
    exact = problem.posterior(torch.tensor([[0.25, 0.5, 0.25]]))
    alpha = [1.5 + 5, 2.5 + 10, 4.0 + 5]
    theta = torch.tensor([[0.2, 0.5, 0.3], [0.01, 0.01, 0.98]])
    wanted = [stats.dirichlet(alpha).logpdf(t / t.sum()) for t in theta.double().numpy()]
    assert np.allclose(exact.log_prob(theta).numpy(), wanted, atol=1e-4)
    line = torch.linspace(0.05, 0.95, 7)
    beta = stats.beta(alpha[1], alpha[0] + alpha[2])
    assert np.allclose(exact.marginal(1).log_prob(line), beta.logpdf(line.numpy()), atol=1e-4)
    draws = exact.sample((20_000,), seed=0)
    assert ks(draws[:, 1], beta.cdf) > KS_ALPHA


@pytest.mark.statistical
@pytest.mark.parametrize("x", [[0.5, 0.5], [0.89, 0.3], [0.98, 0.5], [-0.5, 2.0]])
def test_hat_posterior_draws_follow_its_density(x: list[float]) -> None:
    """Both marginals against the CDF by SciPy: a truncated normal and a uniform part."""
    width, brim = 0.05, 0.2
    exact = WitchsHat(2, width, brim).posterior(torch.tensor([x]))
    draws = exact.sample((N,), seed=0).double()
    assert ((draws >= 0.1 - 1e-6) & (draws <= 0.9 + 1e-6)).all()
    for i, centre in enumerate(x):
        low, high = (0.1 - centre) / width, (0.9 - centre) / width
        spike = stats.truncnorm(low, high, loc=centre, scale=width)
        flat = stats.uniform(0.1, 0.8)
        w = exact.brim_mass

        def cdf(t: np.ndarray, spike=spike, flat=flat, w=w) -> np.ndarray:
            return w * flat.cdf(t) + ((1 - w) * spike.cdf(t) if w < 1 else 0)

        assert ks(draws[:, i], cdf) > KS_ALPHA


@pytest.mark.statistical
def test_cosines_posterior_draws_follow_its_table() -> None:
    """64 x 64 squares of cells: counts against exact masses, by chi-squared."""
    exact = SumOfCosines(noise=0.4).posterior(torch.tensor([[2.2]]))
    axis, density = exact.table()
    n = len(axis) // 64
    mass = density.double().reshape(64, n, 64, n).sum((1, 3))
    mass = mass / mass.sum()
    draws = exact.sample((N,), seed=0)
    index = ((draws + math.pi) / (2 * math.pi) * 64).long().clamp(0, 63)
    seen = torch.zeros(64, 64).index_put_(
        (index[:, 0], index[:, 1]), torch.ones(N), accumulate=True
    )
    big = mass * N >= 10
    wanted = torch.cat([mass[big], mass[~big].sum()[None]]) * N
    counts = torch.cat([seen[big], seen[~big].sum()[None]]).double()
    assert stats.chisquare(counts.numpy(), wanted.numpy(), sum_check=False).pvalue > 1e-4


def test_extreme_cosines_break_into_islands() -> None:
    """The reason for this problem: the densest 80 % of the mass are five pieces or more."""
    _, density = SumOfCosines(noise=0.5).posterior(torch.tensor([[3.0]])).table()
    levels = density.flatten().sort(descending=True).values
    level = levels[int((levels.cumsum(0) < 0.8 * levels.sum()).sum())]
    assert ndimage.label((density >= level).numpy())[1] >= 5


class Exact:
    """The exact posterior in the place of a model."""

    def __init__(self, problem: Problem, spoil: float = 1.0) -> None:
        self.problem, self.spoil = problem, spoil

    def sample(self, x: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        draws = [self.problem.posterior(row).sample((n,), seed=seed + i) for i, row in enumerate(x)]
        stacked = torch.stack(draws, 1)
        return stacked.mean(0) + self.spoil * (stacked - stacked.mean(0))


@pytest.mark.statistical
@over_three
def test_exact_posteriors_are_calibrated(problem: Problem) -> None:
    """SBC of the exact posterior: KS below its 0.01 % point; too narrow by 30 %: above it."""
    n_sims = 500 if problem is THREE["cosines"] else 1500
    critical = stats.kstwo.isf(1e-4 / problem.dim, n_sims)
    ks_exact = ds.diagnostics.sbc(Exact(problem), problem, n_sims, 99, seed=0).ks
    assert (ks_exact < critical).all()
    spoilt = ds.diagnostics.sbc(Exact(problem, spoil=0.7), problem, n_sims, 99, seed=0).ks
    assert (spoilt > critical).any()


# ------------------------------------------------------------------------------ edges, bad input


def test_a_hat_far_outside_the_cube_is_all_brim() -> None:
    exact = WitchsHat(5).posterior(torch.full((1, 5), 40.0))
    assert exact.brim_mass == 1.0
    theta = exact.sample((1000,), seed=0)
    assert ((theta >= 0.1) & (theta <= 0.9)).all()
    assert torch.allclose(exact.log_prob(theta), torch.tensor(-5 * math.log(0.8)), atol=1e-4)
    assert exact.log_prob(torch.full((5,), 0.95)) == -math.inf


def test_a_hat_of_one_dimension_works() -> None:
    problem = WitchsHat(1)
    theta, x = problem.sample(5, seed=0, device="cpu")
    assert (theta.shape, x.shape) == ((5, 1), (5, 1, 1))
    line = torch.linspace(0.1, 0.9, 20_001, dtype=torch.float64)[:, None]
    density = problem.posterior(torch.tensor([[0.5]])).log_prob(line).exp()
    assert float(torch.trapezoid(density.double(), line[:, 0])) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("brim", [0.0, 1.0, -0.1, math.nan])
def test_hat_without_brim_or_spike(brim: float) -> None:
    with pytest.raises(ValueError, match="brim must be strictly between 0 and 1"):
        WitchsHat(brim=brim)


@pytest.mark.parametrize("width", [0.0, -1.0, math.inf, math.nan])
def test_hat_and_cosines_of_impossible_width(width: float) -> None:
    with pytest.raises(ValueError, match="width"):
        WitchsHat(width=width)
    with pytest.raises(ValueError, match="noise"):
        SumOfCosines(noise=width)


@pytest.mark.parametrize("dim", [0, -2, 2.5])
def test_hat_of_impossible_dimension(dim: float) -> None:
    with pytest.raises(ValueError, match="dim, the number of parameters"):
        WitchsHat(dim=dim)  # type: ignore[arg-type]


def test_counts_of_impossible_settings() -> None:
    for alpha in ((1.0,), (1.0, 0.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="alpha"):
            DirichletMultinomial(alpha)
    with pytest.raises(ValueError, match="total"):
        DirichletMultinomial(total=0)


@pytest.mark.parametrize(
    "x", [[0.5, 0.3, 0.21], [0.5, 0.6, -0.1], [0.5, 0.3, 0.1], [0.51, 0.29, 0.2]]
)
def test_counts_refuse_data_that_are_no_counts(x: list[float]) -> None:
    problem = DirichletMultinomial((1.0, 1.0, 1.0), total=10)
    with pytest.raises(ValueError, match="proportions of 10 counts"):
        problem.posterior(torch.tensor([x]))


@over_three
def test_posteriors_refuse_data_of_another_shape(problem: Problem) -> None:
    for shape in ((2, 2), (1, 7), (3,)):
        with pytest.raises((ValueError, TypeError)):
            problem.posterior(torch.full(shape, 0.5))


@over_three
def test_problems_come_back_from_their_config(problem: Problem) -> None:
    again = ds.problems.get(problem.name, **problem.config())
    assert again.config() == problem.config()
    _, x = problem.sample(3, seed=0, device="cpu")
    assert torch.equal(again.sample(3, seed=0, device="cpu")[1], x)
