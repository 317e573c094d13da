"""SpeciesSampling: simulator against a loop, posterior against SciPy's quadrature and 1F1."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ranks import calibrated, p_values
from scipy import integrate, special, stats

import diffsbi_edu as ds
from diffsbi_edu.problems import SpeciesSampling
from diffsbi_edu.transforms import ToLatent

COUNTS = [(12, 8, 9), (0, 0, 0), (0, 25, 3), (40, 1, 0), (5, 30, 30), (150, 90, 120)]


def one_data_set(shares: np.ndarray, rng: np.random.Generator) -> list[int]:
    """The story as it is told, animal by animal."""
    first = 0.9 if rng.uniform() < 0.7 else 0.3
    seen = []
    for share, chance in zip(shares, (first, 0.6, 0.7), strict=True):
        animals = rng.poisson(50 * share)
        seen.append(sum(rng.uniform() < chance for _ in range(animals)))
    return seen


@pytest.mark.statistical
def test_simulator_is_the_story() -> None:
    """Each count's law, and those of sums and differences, against the loop; 1e-3 in total."""
    problem, rng = SpeciesSampling(), np.random.default_rng(0)
    prior = problem.sample_prior(20_000, seed=0, device="cpu").double().numpy()
    assert stats.kstest(prior[:, 0], stats.beta(2, 4).cdf).pvalue > 1e-4
    assert stats.kstest(prior[:, 2], stats.beta(2, 4).cdf).pvalue > 1e-4
    shares = np.array([0.5, 0.2, 0.3])
    loop = np.array([one_data_set(shares, rng) for _ in range(6000)])
    theta = torch.tensor(shares).float().expand(60_000, 3)
    ours = problem.simulate(theta, seed=1)[:, 0].double().numpy()
    for weights in np.vstack([np.eye(3), [1, 1, 0], [1, 1, 1], [1, -1, -1]]):
        a, b = (values @ weights for values in (loop, ours))
        low, high = min(a.min(), b.min()), max(a.max(), b.max())
        tables = [np.histogram(v, np.linspace(low - 0.5, high + 0.5, 26))[0] for v in (a, b)]
        kept = [t[(tables[0] + tables[1]) > 20] for t in tables]
        assert stats.chi2_contingency(np.array(kept)).pvalue > 1e-4


def by_kummer(counts: tuple[int, ...], effort: float) -> tuple[np.ndarray, float]:
    """theta_1's first two moments and P(easy | x): the inner integral in closed form (1F1)."""
    a, b, c = (1.0 + k for k in counts)

    def inner(v: float) -> float:  # over w of w^b (1−w)^c exp(−effort (1−v)(0.7 − 0.1 w))
        value = 0.1 * effort * (1 - v)
        return special.hyp1f1(b + 1, b + c + 2, value) * math.exp(-7 * value)

    parts = []
    for weight, detection in ((0.7, 0.9), (0.3, 0.3)):
        grid = np.linspace(1e-4, 1 - 1e-4, 4001)
        curve = a * np.log(grid) + (b + c + 1) * np.log1p(-grid) - effort * detection * grid
        top, peak = -float(curve.max()), float(grid[curve.argmax()])

        def density(v: float, power: int, d: float = detection, top: float = top) -> float:
            logs = (a + power) * math.log(v) + (b + c + 1) * math.log1p(-v)
            return math.exp(logs - effort * d * v + top) * inner(v)

        moments = [
            sum(
                integrate.quad(density, *ends, args=(k,), epsabs=0, epsrel=1e-10, limit=200)[0]
                for ends in ((0, peak), (peak, 1))
            )
            for k in range(3)
        ]
        scale = math.log(weight) + counts[0] * math.log(detection) - top
        parts.append((scale, np.array(moments)))
    best = max(scale for scale, _ in parts)
    easy, hard = (math.exp(scale - best) * m for scale, m in parts)
    total = easy + hard
    return total[1:] / total[0], float(easy[0] / total[0])


@pytest.mark.parametrize("counts", COUNTS)
def test_posterior_by_other_quadrature(counts: tuple[int, int, int]) -> None:
    exact = SpeciesSampling().posterior(torch.tensor([counts]).float())
    (first, second), easy = by_kummer(counts, 50.0)
    assert exact.easy_mass == pytest.approx(easy, abs=1e-6)
    draws = exact.sample((40_000,), seed=0).double()
    sd = math.sqrt(second - first**2)
    assert float(draws[:, 0].mean()) == pytest.approx(first, abs=4.5 * sd / 200)
    # The table's own moments: no noise, and the cells' width is all that can be wrong.
    mass = torch.softmax(exact._log_table.flatten(), 0).reshape(exact._log_table.shape).sum(1)
    v = torch.sigmoid(exact._u)
    assert float(mass @ v) == pytest.approx(first, rel=1e-6)
    cell = float(exact._steps[0])
    assert cell < 0.1 * float((mass @ exact._u**2 - (mass @ exact._u) ** 2).sqrt())


@pytest.mark.parametrize("counts", COUNTS[:4])
def test_density_is_bayes_rule_and_integrates_to_one(counts: tuple[int, int, int]) -> None:
    exact = SpeciesSampling().posterior(torch.tensor([counts]).float())
    theta = np.random.default_rng(0).dirichlet([2, 2, 2], 200)
    likelihood = sum(
        weight * np.prod([stats.poisson(50 * theta[:, i] * d).pmf(counts[i])
                          for i, d in enumerate((first, 0.6, 0.7))], axis=0)
        for weight, first in ((0.7, 0.9), (0.3, 0.3))
    )  # fmt: skip
    wanted = np.log(likelihood) + stats.dirichlet([2, 2, 2]).logpdf(theta.T)
    constant = exact.log_prob(torch.tensor(theta)).double().numpy() - wanted
    assert np.ptp(constant) < 1e-3
    line = (np.arange(1000) + 0.5) / 1000
    a, b = np.meshgrid(line, line, indexing="ij")
    inside = a + b < 1
    points = torch.tensor(np.stack([a, b, 1 - a - b], -1)[inside])
    total = float(exact.log_prob(points).double().exp().sum()) / 1e6
    assert total == pytest.approx(1, abs=2e-3)
    assert exact.log_prob(torch.tensor([0.5, 0.6, -0.1])) == -math.inf
    assert exact.log_prob(torch.tensor([0.5, 0.6, 0.1])) == -math.inf


@pytest.mark.statistical
def test_exact_posterior_is_calibrated_and_wrong_ones_are_not() -> None:
    problem = SpeciesSampling()
    assert calibrated(p_values(problem, 700, density=True))
    wrong = SpeciesSampling(effort=65.0)
    assert not calibrated(p_values(problem, 700, posterior=wrong.posterior, density=True))


@pytest.mark.statistical
def test_a_wrong_coin_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = SpeciesSampling()
    _, x = problem.sample(700, seed=0, device="cpu")
    kept = {tuple(row.flatten().tolist()): row for row in x}
    assert len(kept) > 300
    monkeypatch.setattr("diffsbi_edu.problems.species.EASY_CHANCE", 0.999)
    wrong = {key: problem.posterior(row) for key, row in kept.items()}
    monkeypatch.undo()
    p = p_values(
        problem, 700, posterior=lambda row: wrong[tuple(row.flatten().tolist())], density=True
    )
    assert not calibrated(p)


def test_latents() -> None:
    problem = SpeciesSampling()
    theta = problem.sample_prior(5000, seed=0, device="cpu")
    to_latent = ToLatent(problem.prior)
    to_latent.fit(theta)
    z = to_latent(theta)
    assert z.shape == (5000, 2)
    assert torch.allclose(to_latent.inverse(z), theta, atol=1e-5)
    back = to_latent.inverse(4 * torch.randn(1000, 2, generator=torch.Generator().manual_seed(0)))
    assert problem.prior.support.check(back).all()


def test_bad_input() -> None:
    for effort in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="effort, the expected number"):
            SpeciesSampling(effort)
    for x, words in (
        (torch.tensor([[1.0, 2.0, 0.5]]), "must be counts"),
        (torch.tensor([[1.0, 2.0, -1.0]]), "must be counts"),
        (torch.tensor([[1.0, 2.0, math.nan]]), "NaN"),
        (torch.zeros(1, 2), "F = 3"),
        (torch.zeros(2, 3), "N = 1"),
    ):
        with pytest.raises(ValueError, match=words):
            SpeciesSampling().posterior(x)


def test_config_rebuilds_the_problem() -> None:
    problem = SpeciesSampling(30.0)
    again = ds.problems.get("species_sampling", **problem.config())
    assert torch.equal(problem.sample(5, seed=0)[1], again.sample(5, seed=0)[1])
