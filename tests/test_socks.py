"""Socks: the simulator against real draws from a drawer, the posterior against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from ranks import calibrated, p_values
from references import KS_ALPHA, small_model
from scipy import stats

import diffsbi_edu as ds
from diffsbi_edu.problems import Socks, socks_posterior
from diffsbi_edu.problems.dequantised import SpreadNegativeBinomial
from diffsbi_edu.problems.socks import draws_until_match
from diffsbi_edu.problems.socks_posterior import match_probability
from diffsbi_edu.transforms import ToLatent

NB = stats.nbinom(900 / 195, 30 / 225)  # SciPy's: mean 30, sd 15


def act_out(pairs: int, singles: int, rng: np.random.Generator) -> int:
    """Shuffle the socks, take one after another, stop at the first match."""
    socks = rng.permutation([*range(pairs), *range(pairs), *range(pairs, pairs + singles)])
    seen: set[int] = set()
    for count, sock in enumerate(socks.tolist(), 1):
        if sock in seen:
            return count
        seen.add(sock)
    return len(socks) + 1


# ------------------------------------------------------------------------------------ simulator


@pytest.mark.parametrize(("pairs", "singles"), [(0, 0), (0, 3), (1, 0), (1, 2), (2, 1), (3, 0)])
def test_probabilities_by_going_through_every_order(pairs: int, singles: int) -> None:
    n = 2 * pairs + singles
    socks = [*range(pairs), *range(pairs), *range(pairs, pairs + singles)]
    seen = np.zeros(n + 2)
    for order in itertools.permutations(socks):
        fresh = [order[i] in order[:i] for i in range(n)]
        seen[(fresh.index(True) + 1) if True in fresh else n + 1] += 1
    ours = [float(match_probability(k, 12)[n, pairs]) for k in range(1, n + 2)]
    assert np.allclose(ours, seen[1:] / seen.sum(), atol=1e-12)


def test_probabilities_add_up() -> None:
    total = sum(match_probability(k, 80) for k in range(1, 82))
    n, m = torch.arange(81)[:, None], torch.arange(41)
    assert torch.allclose(total[2 * m <= n], torch.ones(()).double(), atol=1e-10)
    assert (total[2 * m > n] == 0).all()


@pytest.mark.statistical
@pytest.mark.parametrize(("pairs", "singles"), [(1, 0), (1, 9), (3, 2), (12, 7), (25, 13)])
def test_draws_until_match_are_those_of_a_drawer(pairs: int, singles: int) -> None:
    """χ² of 100,000 draws against the formula, and of 4,000 acted out; 1e-4 each."""
    shape = (100_000,)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = draws_until_match(torch.full(shape, float(pairs)), torch.full(shape, float(singles)))
    rng, n = np.random.default_rng(1), 2 * pairs + singles
    loop = np.array([act_out(pairs, singles, rng) for _ in range(4000)])
    law = np.array([0.0, *(float(match_probability(k, n)[n, pairs]) for k in range(1, n + 2))])
    for drawn in (x.long().numpy(), loop):
        seen, wanted = np.bincount(drawn, minlength=n + 2), law * len(drawn)
        usual = wanted > 5
        rest = seen[~usual].sum(), wanted[~usual].sum()
        assert rest[0] <= rest[1] + 5 * math.sqrt(rest[1]) + 3
        if usual.sum() > 1:
            p = stats.chisquare(
                seen[usual], wanted[usual] * seen[usual].sum() / wanted[usual].sum()
            )
            assert p.pvalue > 1e-4


def test_no_pair_no_match() -> None:
    x = draws_until_match(torch.zeros(4), torch.tensor([0.0, 1.0, 2.0, 30.0]))
    assert x.tolist() == [1, 2, 3, 31]


@pytest.mark.statistical
def test_simulator_is_the_story() -> None:
    """x of three dryers, their sum and spread (they share the proportion) against a loop. 1e-3."""
    problem, rng = Socks(3), np.random.default_rng(0)
    totals = np.array([12, 30, 55])

    def one() -> list[int]:
        p = rng.beta(30, 4) if rng.uniform() < 0.75 else rng.beta(50, 50)
        return [act_out(int(n * p / 2), int(n - 2 * int(n * p / 2)), rng) for n in totals]

    loop = np.array([one() for _ in range(5000)])
    theta = (torch.tensor(totals) + torch.tensor([0.4, -0.4, 0.0])).expand(50_000, 3)
    ours = problem.simulate(theta, seed=0)[:, 0].double().numpy()
    for quantity in (lambda x: x[:, 0], lambda x: x[:, 1], lambda x: x[:, 2],
                     lambda x: x.sum(1), lambda x: x.max(1) - x.min(1)):  # fmt: skip
        a, b = quantity(loop), quantity(ours)
        tables = np.array([np.bincount(v.astype(int), minlength=200) for v in (a, b)])
        kept = tables[:, tables.sum(0) > 30]
        assert stats.chi2_contingency(kept).pvalue > 2e-4


# ---------------------------------------------------------------------------------------- prior


@pytest.mark.statistical
def test_prior_is_scipys_negative_binomial_spread_out() -> None:
    problem = Socks()
    theta = problem.sample_prior(20_000, seed=0, device="cpu")
    totals = problem.totals(theta).flatten().long().numpy()
    seen = np.bincount(totals.clip(0, 90), minlength=91)
    wanted = np.append(NB.pmf(np.arange(90)), NB.sf(89)) * len(totals)
    grouped = [np.add.reduceat(v, np.arange(0, 91, 3)) for v in (seen, wanted)]
    assert stats.chisquare(*grouped).pvalue > 1e-4
    rest = (theta - problem.totals(theta)).double().flatten().numpy()
    assert stats.kstest(rest, stats.uniform(-0.5, 1).cdf).pvalue > KS_ALPHA
    at = torch.tensor([-0.49, 0.3, 0.51, 29.6, 30.4, 200.0])
    law = SpreadNegativeBinomial(torch.tensor(30.0), torch.tensor(15.0))
    logs = law.log_prob(at).double().numpy()
    assert np.allclose(logs, NB.logpmf([0, 0, 1, 30, 30, 200]), atol=1e-4)
    assert law.log_prob(torch.tensor(-0.51)) == -math.inf
    within = NB.cdf([-1, -1, 0, 29, 29, 199]) + NB.pmf([0, 0, 1, 30, 30, 200]) * np.array(
        [0.01, 0.8, 0.01, 0.1, 0.9, 0.5]
    )
    assert np.allclose(law.cdf(at), within, atol=1e-6)


def test_latents_are_standard_normal_and_come_back() -> None:
    problem = Socks(4)
    theta = problem.sample_prior(50_000, seed=0, device="cpu")
    to_latent = ToLatent(problem.prior)
    assert to_latent.prior.gaussian_prior
    z = to_latent(theta)
    assert stats.kstest(z.flatten().double().numpy(), stats.norm.cdf).pvalue > KS_ALPHA
    back = to_latent.inverse(z)
    assert (problem.totals(back) == problem.totals(theta)).double().mean() > 0.9999
    assert (back - theta)[z.abs() < 3.5].abs().max() < 0.02
    far = to_latent.inverse(torch.linspace(-30, 30, 400)[:, None].expand(-1, 4))
    assert problem.prior.support.check(far).all()
    assert (far[1:] >= far[:-1] - 1e-4).all()
    # The Jacobian is the density's: log p(theta) = log N(z) + log |dz/dtheta|.
    log_z = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + to_latent.log_abs_det(theta)
    middle = (z.abs() < 4).all(1)
    assert torch.allclose(log_z[middle], problem.prior.log_prob(theta)[middle], atol=1e-3)
    assert torch.isfinite(z).all()


# ------------------------------------------------------------------------------------ posterior


@pytest.mark.parametrize("x", [(11,), (7, 3), (1, 20), (2, 2)])
def test_posterior_is_bayes_rule_by_scipy(x: tuple[int, ...]) -> None:
    """Sums over totals and a 20,000-point quadrature over p, with SciPy's laws."""
    exact = Socks(len(x)).posterior(torch.tensor([x]).float())
    p = (np.arange(20_000) + 0.5) / 20_000
    prior = 0.75 * stats.beta(30, 4).pdf(p) + 0.25 * stats.beta(50, 50).pdf(p)
    n = np.arange(251)
    joint = []
    for k in x:
        table = match_probability(k, 250).numpy()  # itself tested above
        pairs = (n[:, None] * p / 2).astype(int)
        joint.append(NB.pmf(n)[:, None] * table[n[:, None], pairs])
    evidence = prior * np.prod([table.sum(0) for table in joint], axis=0)
    for i in range(len(x)):
        others = np.prod([t.sum(0) for j, t in enumerate(joint) if j != i], axis=0)
        marginal = (joint[i] * prior * others).sum(1) / evidence.sum()
        draws = exact.sample((20_000,), seed=i)[:, i]
        seen = np.bincount(Socks.totals(draws).long().numpy(), minlength=251)[:251]
        usual = marginal * 20_000 > 8
        if usual.sum() > 1:
            wanted = marginal[usual] / marginal[usual].sum() * seen[usual].sum()
            assert stats.chisquare(seen[usual], wanted).pvalue > 1e-4
        assert abs(seen[usual].sum() / 20_000 - marginal[usual].sum()) < 0.01
    at = np.array([[14, 30, 0, 21][: len(x)], [19, 40, 25, 2][: len(x)]])
    for totals in at:
        each = [table[k] for table, k in zip(joint, totals, strict=True)]
        density = (prior * np.prod(each, axis=0)).sum() / evidence.sum()
        ours = float(exact.log_prob(torch.tensor(totals).float() + 0.3).double().exp())
        assert ours == pytest.approx(density, rel=3e-3, abs=1e-12)


def test_density_adds_up_to_one() -> None:
    exact = Socks(1).posterior(torch.tensor([[9.0]]))
    whole = torch.arange(0.0, 300.0)[:, None]
    assert float(exact.log_prob(whole).double().exp().sum()) == pytest.approx(1, abs=1e-5)
    assert exact.log_prob(torch.tensor([-0.6])) == -math.inf
    assert exact.log_prob(torch.tensor([5000.0])) == -math.inf
    points, density = exact.proportion()
    assert float(density.mean()) == pytest.approx(1, abs=1e-9)
    assert 0 < float(points[0]) < float(points[-1]) < 1


def test_an_empty_dryer_is_known_to_be_empty() -> None:
    draws = Socks(2).posterior(torch.tensor([[1.0, 8.0]])).sample((500,), seed=0)
    assert (Socks.totals(draws)[:, 0] == 0).all()
    assert float(Socks.totals(draws)[:, 1].mean()) > 10


def test_dryers_inform_one_another() -> None:
    """Long draws elsewhere mean few pairs, so 8 draws here mean fewer socks here."""
    few, many = (
        Socks(10).posterior(torch.tensor([[8.0, *[other] * 9]])).sample((4000,), seed=0)[:, 0]
        for other in (22.0, 4.0)
    )
    assert float(many.mean() - few.mean()) > 5 * float(few.std() / 4000**0.5)


@pytest.mark.statistical
def test_exact_posterior_is_calibrated() -> None:
    problem = Socks(4)
    also = (lambda theta: theta.sum(1), lambda theta: theta.amax(1) - theta.amin(1))
    assert calibrated(p_values(problem, 500, also=also))


@pytest.mark.statistical
@pytest.mark.parametrize("wrong", [("MEAN", 36.0), ("PROPORTIONS", ((20.0, 20.0), (50.0, 50.0)))])
def test_a_wrong_constant_is_noticed(
    wrong: tuple[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    caches = [getattr(socks_posterior, f) for f in ("proportions", "_joint", "_log_evidence")]

    def clear() -> None:
        for cache in caches:
            cache.cache_clear()

    problem = Socks(4)
    monkeypatch.setattr(socks_posterior, *wrong)
    clear()
    try:
        assert not calibrated(p_values(problem, 400, also=(lambda theta: theta.sum(1),)))
    finally:
        monkeypatch.undo()
        clear()


# ----------------------------------------------------------------------------------- bad input


def test_bad_input() -> None:
    for dryers in (0, -1, 2.0, "ten"):
        with pytest.raises(ValueError, match="dryers, how many there are"):
            Socks(dryers)  # type: ignore[arg-type]
    for x, words in (
        (torch.full((1, 10), 7.5), "must be counts"),
        (torch.full((1, 10), -2.0), "must be counts"),
        (torch.zeros(1, 10), "must be at least 1"),
        (torch.ones(1, 9), "F = 10"),
        (torch.ones(2, 10), "N = 1"),
        (torch.full((1, 10), math.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=words):
            Socks().posterior(x)
    one = torch.ones(2)
    for loc, scale in ((-one, one), (one, one), (one, one * math.inf), (one * math.nan, one)):
        with pytest.raises(ValueError, match="loc, the mean, must be positive"):
            SpreadNegativeBinomial(loc, scale)


def test_nothing_leaves_the_support() -> None:
    problem = Socks(3)
    theta = small_model(problem).sample(torch.ones(1, 3), 2000, seed=0, steps=4)
    assert problem.prior.support.check(theta).all()
    assert (problem.totals(theta) >= 0).all()


def test_config_rebuilds_the_problem() -> None:
    problem = Socks(3)
    again = ds.problems.get("socks", **problem.config())
    assert torch.equal(problem.sample(5, seed=0)[1], again.sample(5, seed=0)[1])
    assert again.theta_names == ("socks 1", "socks 2", "socks 3")
