"""MarkovSwitching: regimes against all their paths, data against closed forms and a loop."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from references import KS_ALPHA, midpoints, small_model
from scipy import stats

import diffsbi_edu as ds
from diffsbi_edu.problems import MarkovSwitching
from diffsbi_edu.problems.switching import FromGap, Share, SortedLoadings
from diffsbi_edu.runtime import make_generator, randomness_from
from diffsbi_edu.transforms import ToLatent

STAYS = [(0.9, 0.7), (0.5, 0.5), (0.2, 0.3), (0.97, 0.1), (0.05, 0.6)]


def theta_with(stay_1: float, stay_2: float, n: int) -> torch.Tensor:
    return torch.tensor([[1.3, -0.7, 0.4, 0.6, stay_1, stay_2]]).repeat(n, 1)


def chain(stay_1: float, stay_2: float) -> tuple[np.ndarray, np.ndarray]:
    """Transition matrix and its stationary law, by NumPy's eigenvectors."""
    matrix = np.array([[stay_1, 1 - stay_1], [1 - stay_2, stay_2]])
    values, vectors = np.linalg.eig(matrix.T)
    law = vectors[:, np.argmax(values.real)].real
    return matrix, law / law.sum()


# -------------------------------------------------------------------------------------- regimes


@pytest.mark.statistical
@pytest.mark.parametrize("stays", STAYS)
def test_regimes_have_the_probabilities_of_all_their_paths(stays: tuple[float, float]) -> None:
    """All 32 paths of 5 steps by their products; chi², 1e-4. A wrong start or chain is seen."""
    n = 50_000
    with randomness_from(make_generator(0)):
        first = MarkovSwitching.regimes(theta_with(*stays, n), 5).numpy()
    code = (~first).astype(int) @ 2 ** np.arange(5)[::-1]
    counts = np.bincount(code, minlength=32)

    def p_value(matrix: np.ndarray, start: np.ndarray) -> float:
        expected = []
        for path in itertools.product((0, 1), repeat=5):
            steps = np.prod([matrix[a, b] for a, b in itertools.pairwise(path)])
            expected.append(start[path[0]] * steps)
        common = np.array(expected) * n > 5
        return stats.chisquare(
            np.append(counts[common], counts[~common].sum() + 1e-9),
            np.append(np.array(expected)[common], np.array(expected)[~common].sum() + 1e-9 / n) * n,
            sum_check=False,
        ).pvalue

    matrix, law = chain(*stays)
    assert p_value(matrix, law) > KS_ALPHA
    assert p_value(matrix, np.array([0.9, 0.1]) if law[0] < 0.6 else law[::-1]) < 1e-10
    wrong = np.array([matrix[0], [matrix[1, 0] + 0.03, matrix[1, 1] - 0.03]])
    assert p_value(wrong, law) < 1e-10


@given(
    stays=st.tuples(st.floats(0.001, 0.99), st.floats(0.001, 0.99)),
    n=st.integers(1, 300),
    seed=st.integers(0, 2**31),
)
def test_regimes_are_a_loops(stays: tuple[float, float], n: int, seed: int) -> None:
    """The same uniform numbers, one step after another."""
    with randomness_from(make_generator(seed)):
        ours = MarkovSwitching.regimes(theta_with(*stays, 3), n)
    with randomness_from(make_generator(seed)):
        u = torch.rand(3, n).numpy()
    stay, back = np.float32(stays[0]), np.float32(1) - np.float32(stays[1])
    for row, got in zip(u, ours, strict=True):
        first = row[0] < back / (np.float32(1) - stay + back)
        expected = [first]
        for value in row[1:]:
            first = value < (stay if first else back)
            expected.append(first)
        assert got.tolist() == [bool(v) for v in expected]


# ------------------------------------------------------------------------------------------ data


@pytest.mark.statistical
def test_data_have_their_covariance() -> None:
    """E[x_s x_t] in closed form for 4 steps, all 64 entries within 5 standard errors (4e-5)."""
    n, steps = 100_000, 4
    theta = theta_with(0.9, 0.6, n)
    high, low, noise, step = theta[0, :4].tolist()
    x = MarkovSwitching().simulate(theta, seed=1, n_obs=steps).double().numpy()
    matrix, law = chain(0.9, 0.6)
    loadings = np.array([high, low])
    expected = np.zeros((steps, 2, steps, 2))
    for s, t in itertools.product(range(steps), repeat=2):
        shared = step**2 * (min(s, t) + 1)
        later = np.linalg.matrix_power(matrix, abs(s - t))
        both = (law * loadings) @ later @ loadings if s != t else law @ loadings**2
        one = law @ loadings
        expected[s, :, t] = shared * np.array([[1, one], [one, both]])
        expected[s, :, t] += noise**2 * np.eye(2) * (s == t)
    flat = x.reshape(n, -1)
    products = flat[:, :, None] * flat[:, None, :]
    off = products.mean(0) - expected.reshape(8, 8)
    assert (np.abs(off) < 5 * products.std(0) / n**0.5).all()
    assert np.abs(flat.mean(0)).max() < 5 * flat.std(0).max() / n**0.5


def one_by_one(theta: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    high, low, noise, step, stay_1, stay_2 = theta
    first = rng.random() < (1 - stay_2) / (2 - stay_1 - stay_2)
    x, w = np.empty((n, 2)), 0.0
    for t in range(n):
        w += step * rng.normal()
        x[t] = w + noise * rng.normal(), (high if first else low) * w + noise * rng.normal()
        first = first if rng.random() < (stay_1 if first else stay_2) else not first
    return x


@pytest.mark.statistical
def test_data_are_a_numpy_loops() -> None:
    """Five features of 1,500 series each, two-sample KS at 1e-4 each; wrong laws are seen."""
    problem, n, size = MarkovSwitching(), 60, 1500
    theta = problem.sample_prior(size, seed=0, device="cpu")
    rng = np.random.default_rng(0)
    loop = np.stack([one_by_one(row, n, rng) for row in theta.double().numpy()])

    def features(x: np.ndarray) -> list[np.ndarray]:
        w, y = x[..., 0], x[..., 1]
        return [
            np.log(np.diff(w).std(1)),
            np.log(np.diff(y).std(1)),
            (w * y).sum(1) / (w**2).sum(1),
            np.log(np.abs(w[:, -1])),
            np.log(np.abs(np.diff(y)).max(1)),
        ]

    def p_values(rows: torch.Tensor) -> list[float]:
        x = problem.simulate(rows, seed=3, n_obs=n).double().numpy()
        return [
            stats.ks_2samp(a, b).pvalue for a, b in zip(features(x), features(loop), strict=True)
        ]

    assert min(p_values(theta)) > KS_ALPHA
    for spoil in ([1, 1, 1.3, 1, 1, 1], [1, 1, 1, 1.3, 1, 1], [1, 1, 1, 1, 0.7, 0.7]):
        assert min(p_values(theta * torch.tensor(spoil))) < KS_ALPHA


# ----------------------------------------------------------------------------------------- prior


@pytest.mark.statistical
def test_prior_has_its_law() -> None:
    """False-alarm rate 1e-4 each."""
    theta = MarkovSwitching().sample_prior(20_000, seed=0, device="cpu").double().numpy()
    first, second, noise, step, stay_1, stay_2 = theta.T
    assert (first >= second).all()
    centre = 2**0.5 / noise
    gap = (first - second) / 2**0.5 / noise
    for values, law in (
        (noise**-2, stats.gamma(2, scale=2).cdf),
        (step**-2, stats.gamma(4).cdf),
        (stay_1 / 0.99, stats.beta(30, 2).cdf),
        (stay_2 / 0.99, stats.beta(30, 2).cdf),
        ((first + second) / 2**0.5 / noise, stats.norm.cdf),
        (stats.norm.cdf(gap - centre) - stats.norm.cdf(-gap - centre), stats.uniform.cdf),
    ):
        assert stats.kstest(values, law).pvalue > KS_ALPHA
    assert abs(stats.spearmanr(stay_1, stay_2).statistic) < 5 / 20_000**0.5
    assert abs(stats.spearmanr(noise, step).statistic) < 5 / 20_000**0.5


def test_prior_density_integrates_to_one() -> None:
    """Over the sorted pairs of loadings, for three sds, by midpoints: the density of the sd."""
    law = SortedLoadings(torch.distributions.Gamma(2.0, 0.5))
    for sd in (0.3, 0.7, 2.0):
        wide = 2 + 8 * sd
        total, side = midpoints(-wide, wide, 500)
        gap, other_side = midpoints(0.0, wide, 500)
        pairs = torch.cartesian_prod(total, gap) / 2**0.5
        first, second = pairs.sum(1), pairs[:, 0] - pairs[:, 1]
        values = torch.stack([first, second, torch.full_like(first, sd)], 1)
        mass = float(law.log_prob(values).exp().sum() * side * other_side)
        expected = stats.gamma(2, scale=2).pdf(sd**-2) * 2 * sd**-3
        assert mass == pytest.approx(expected, rel=1e-4)
    share = Share(torch.distributions.Beta(30.0, 2.0), 0.99)
    for value in (0.5, 0.9, 0.98):
        expected = stats.beta(30, 2, scale=0.99).logpdf(value)
        assert float(share.log_prob(torch.tensor(value))) == pytest.approx(expected, rel=1e-5)


def test_outside_the_prior() -> None:
    prior = MarkovSwitching().prior
    inside = torch.tensor([1.0, -1.0, 0.5, 0.5, 0.9, 0.9])
    assert torch.isfinite(prior.log_prob(inside))
    for column, value in ((0, -1.5), (1, 1.5), (2, 0.0), (2, -1.0), (3, 0.0), (4, 0.995), (5, -0.1),
                          (0, math.nan)):  # fmt: skip
        outside = inside.clone()
        outside[column] = value
        assert not prior.support.check(outside)
        assert prior.log_prob(outside) == -math.inf


# --------------------------------------------------------------------------------------- latents


def test_latents_and_support() -> None:
    problem = MarkovSwitching(n_obs=3)
    model = small_model(problem).standardise(seed=0)
    theta = problem.sample_prior(5000, seed=2, device="cpu")
    back = model.to_latent.inverse(model.to_latent(theta))
    assert torch.allclose(back, theta, rtol=1e-4, atol=1e-5)
    draws = model.sample(torch.ones(3, 2), 20_000, seed=0, steps=4)
    assert problem.prior.support.check(draws).all()
    assert (draws[:, 0] >= draws[:, 1]).all()
    assert ((draws[:, 4:] >= 0) & (draws[:, 4:] <= 0.99)).all()


def test_latents_of_the_prior_are_nearly_normal() -> None:
    to_latent = ToLatent(MarkovSwitching().prior)
    theta = MarkovSwitching().sample_prior(50_000, seed=0, device="cpu")
    u = to_latent.prior(theta)
    assert stats.kstest(u[:5000, 0].double().numpy(), stats.norm.cdf).pvalue > KS_ALPHA
    to_latent.fit(theta)
    z = to_latent(theta)
    assert (z.pow(4).mean(0) < 7).all()
    assert z.abs().max() < 15


@given(st.lists(st.floats(-100, 100, width=32), min_size=6, max_size=6))
def test_absurd_latents_stay_inside(u: list[float]) -> None:
    prior = MarkovSwitching().prior
    theta = ToLatent(prior).inverse(torch.tensor(u))
    assert torch.isfinite(theta).all()
    assert theta[0] >= theta[1]
    assert prior.support.check(theta)


@pytest.mark.parametrize("u", [[0.3, -0.5, -0.7], [-2.0, 3.0, 0.5], [1.0, -4.0, 1.0]])
def test_jacobian_is_autograds(u: list[float]) -> None:
    at, transform = torch.tensor(u, dtype=torch.float64), FromGap()
    slope = torch.autograd.functional.jacobian(transform, at)
    theta = transform(at)
    ours = float(transform.log_abs_det_jacobian(at, theta))
    assert ours == pytest.approx(float(slope.det().abs().log()), rel=1e-6)
    assert torch.allclose(transform.inv(theta), at, atol=1e-9)


# ------------------------------------------------------------------------------ edges, bad input


@pytest.mark.parametrize("n", [1, 2, 3, 200, 501])
def test_any_length_and_seed(n: int) -> None:
    problem = MarkovSwitching()
    theta, x = problem.sample(8, seed=0, device="cpu", n_obs=n)
    assert x.shape == (8, n, 2)
    assert torch.equal(problem.sample(8, seed=0, device="cpu", n_obs=n)[1], x)
    assert not torch.equal(problem.simulate(theta, seed=1, n_obs=n), x)
    assert problem._simulator(theta.double(), n).dtype == torch.float64


def test_every_prior_draw_simulates() -> None:
    problem = MarkovSwitching()
    theta = problem.sample_prior(20_000, seed=1, device="cpu")
    edges = torch.tensor([
        [90.0, -90.0, 40.0, 0.2, 0.99, 0.99], [0.0, 0.0, 1e-3, 50.0, 0.0, 0.0],
        [1.0, -1.0, 0.5, 0.5, 0.99, 0.0],
    ])  # fmt: skip
    assert torch.isfinite(problem.simulate(torch.cat([theta, edges]), seed=0, n_obs=200)).all()


def test_a_data_set_does_not_depend_on_its_neighbours() -> None:
    problem = MarkovSwitching()
    theta, other = (problem.sample_prior(8, seed=s, device="cpu") for s in (0, 1))
    other[3] = theta[3]
    first, second = (problem.simulate(rows, seed=5, n_obs=60) for rows in (theta, other))
    assert torch.allclose(first[3], second[3], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(first[2], second[2], rtol=1e-2)


def test_bad_input() -> None:
    for n_obs in (0, -1, (0, 3), (5, 4), 1.5):
        with pytest.raises(ValueError, match="n_obs must be an int"):
            MarkovSwitching(n_obs)  # type: ignore[arg-type]
    with pytest.raises(ds.NoExactPosterior, match="markov_switching"):
        MarkovSwitching().posterior(torch.zeros(3, 2))


def test_config_and_name() -> None:
    problem = MarkovSwitching((5, 9))
    again = ds.problems.get("markov_switching", **problem.config())
    assert again.n_obs == (5, 9)
    assert again.data_kind == "sequence"
    first, second = (p.sample(3, seed=0, device="cpu")[1] for p in (problem, again))
    assert torch.equal(first, second)
