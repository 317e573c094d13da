"""Problems: simulators against their formulas, exact posteriors against independent references."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import KS_ALPHA, box_problem, conjugate_by_loops, grid_2d, midpoints
from scipy import integrate, stats
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, Uniform

import diffsbi_edu as ds
from diffsbi_edu.problems import Gaussian2D, GaussianMixture2D, Problem, TwoMoons, snake_case
from diffsbi_edu.problems.stories import STORIES

BUILT_IN = [Gaussian2D(), TwoMoons(), GaussianMixture2D()]


def ks(values: torch.Tensor, cdf: object) -> float:
    return float(stats.kstest(values.numpy().ravel(), cdf).pvalue)


# ---------------------------------------------------------------------------------- simulators


@pytest.mark.statistical
def test_gaussian_simulator_has_its_moments() -> None:
    """Means and covariances within 5 standard errors: a false alarm in about 1e-5 of seeds."""
    problem = Gaussian2D(
        3, prior_sd=2.0, prior_correlation=0.3, noise_sd=0.4, noise_correlation=-0.8
    )
    n = 200_000
    theta, x = problem.sample(n, seed=0, device="cpu")
    assert x.shape == (n, 3, 2)
    noise = x - theta[:, None]
    expected_prior = np.array([[4.0, 1.2], [1.2, 4.0]])
    expected_noise = 0.16 * np.array([[1.0, -0.8], [-0.8, 1.0]])
    assert np.allclose(np.cov(theta.T), expected_prior, atol=5 * 4 * (2 / n) ** 0.5)
    for i in range(3):
        assert np.allclose(np.cov(noise[:, i].T), expected_noise, atol=5 * 0.16 * (2 / n) ** 0.5)
    between = np.corrcoef(noise[:, 0, 0], noise[:, 1, 0])[0, 1]
    assert abs(between) < 5 / n**0.5
    with_theta = np.corrcoef(theta[:, 0], noise[:, 0, 0])[0, 1]
    assert abs(with_theta) < 5 / n**0.5
    assert np.abs(noise.mean((0, 1)).numpy()).max() < 5 * 0.4 / (3 * n) ** 0.5


@pytest.mark.statistical
def test_mixture_simulator_has_its_law() -> None:
    problem = GaussianMixture2D(half_width=4.0, widths=(2.0, 0.3))
    theta, x = problem.sample(100_000, seed=1, device="cpu")
    offset = x[:, 0] - theta
    radius = offset.norm(dim=1)

    def cdf(r: np.ndarray) -> np.ndarray:  # of a Rayleigh mixture: both features share the width
        return 0.5 * (stats.rayleigh.cdf(r, scale=2.0) + stats.rayleigh.cdf(r, scale=0.3))

    assert ks(radius, cdf) > KS_ALPHA
    assert (
        ks(torch.atan2(offset[:, 1], offset[:, 0]), stats.uniform(-np.pi, 2 * np.pi).cdf) > KS_ALPHA
    )
    assert ks(theta, stats.uniform(-4, 8).cdf) > KS_ALPHA


@pytest.mark.statistical
def test_two_moons_simulator_has_its_law() -> None:
    """Undo the shift by its formula: a crescent of radius N(0.1, 0.01²), angle uniform."""
    theta, x = TwoMoons().sample(100_000, seed=2, device="cpu")
    t, p = theta.double().numpy(), x[:, 0].double().numpy()
    first = p[:, 0] + np.abs(t[:, 0] + t[:, 1]) / np.sqrt(2) - 0.25
    second = p[:, 1] + (t[:, 0] - t[:, 1]) / np.sqrt(2)
    radius, angle = np.hypot(first, second), np.arctan2(second, first)
    assert stats.kstest(radius, stats.norm(0.1, 0.01).cdf).pvalue > KS_ALPHA
    assert stats.kstest(angle, stats.uniform(-np.pi / 2, np.pi).cdf).pvalue > KS_ALPHA
    assert abs(np.corrcoef(radius, angle)[0, 1]) < 5 / 1e5**0.5


# --------------------------------------------------------------------- exact posteriors: density


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    n=st.integers(1, 30),
    prior_sd=st.floats(0.1, 10),
    prior_correlation=st.floats(-0.95, 0.95),
    noise_sd=st.floats(0.1, 10),
    noise_correlation=st.floats(-0.95, 0.95),
    seed=st.integers(0, 2**31),
)
def test_gaussian_posterior_is_the_kalman_filters(
    n: int,
    prior_sd: float,
    prior_correlation: float,
    noise_sd: float,
    noise_correlation: float,
    seed: int,
) -> None:
    problem = Gaussian2D(
        n,
        prior_sd=prior_sd,
        prior_correlation=prior_correlation,
        noise_sd=noise_sd,
        noise_correlation=noise_correlation,
    )
    _, x = problem.sample(1, seed=seed, device="cpu")
    prior = prior_sd**2 * np.array([[1, prior_correlation], [prior_correlation, 1]])
    noise = noise_sd**2 * np.array([[1, noise_correlation], [noise_correlation, 1]])
    mean, covariance = conjugate_by_loops(x[0].double().numpy(), prior, noise)
    exact = problem.posterior(x[0])
    sd = np.sqrt(np.diag(covariance))
    assert np.allclose(exact.mean.numpy() / sd, mean / sd, rtol=1e-4, atol=1e-4)
    assert np.allclose(exact.covariance, covariance, rtol=1e-4, atol=1e-6 * prior_sd**2)
    at = mean + sd * np.array([[0.0, 0.0], [1.0, -1.0]])
    expected = stats.multivariate_normal(mean, covariance).logpdf(at)
    assert np.allclose(exact.log_prob(torch.tensor(at)), expected, rtol=1e-3, atol=1e-2)


def likelihood_gaussian(problem: Gaussian2D, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    law = stats.multivariate_normal([0, 0], problem.noise_covariance.double().numpy())
    return sum(law.logpdf(row - theta) for row in x)


def likelihood_mixture(problem: GaussianMixture2D, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    squared = ((x[0] - theta) ** 2).sum(-1)
    density = sum(0.5 * np.exp(-squared / 2 / w**2) / (2 * np.pi * w**2) for w in problem.widths)
    return np.log(density)


def likelihood_moons(problem: TwoMoons, x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    first = x[0, 0] + np.abs(theta.sum(-1)) / np.sqrt(2) - 0.25
    second = x[0, 1] + (theta[:, 0] - theta[:, 1]) / np.sqrt(2)
    radius = np.hypot(first, second)
    with np.errstate(divide="ignore"):
        log_density = stats.norm(0.1, 0.01).logpdf(radius) - np.log(np.pi * radius)
        return np.where(first >= 0, log_density, -np.inf)


LIKELIHOODS = {
    "gaussian": (Gaussian2D(3), likelihood_gaussian, 3.0),
    "mixture": (GaussianMixture2D(), likelihood_mixture, 10.0),
    "wide mixture": (GaussianMixture2D(2.0, (3.0, 1.0)), likelihood_mixture, 2.0),
    "moons": (TwoMoons(), likelihood_moons, 1.0),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("seed", range(4))
def test_posterior_is_proportional_to_prior_times_likelihood(name: str, seed: int) -> None:
    """log posterior − log prior − log likelihood is one constant, −log evidence."""
    problem, likelihood, half = LIKELIHOODS[name]
    _, x = problem.sample(1, seed=seed, device="cpu")
    exact = problem.posterior(x[0])
    generator = torch.Generator().manual_seed(seed)
    near = exact.sample((300,), seed=seed)
    box = half * (2 * torch.rand(300, 2, generator=generator) - 1)
    theta = torch.cat([near, box]).double()
    log_post = exact.log_prob(theta).double().numpy()
    log_prior = problem.prior.log_prob(theta.float()).double().numpy()
    log_like = likelihood(problem, x[0].double().numpy(), theta.numpy())
    finite = np.isfinite(log_like)
    assert (np.isfinite(log_post) == finite).all()
    assert finite.sum() >= 300
    constant = log_post[finite] - log_prior[finite] - log_like[finite]
    assert np.ptp(constant) < 2e-3 * max(1.0, np.abs(log_post[finite]).max() / 100)


@pytest.mark.parametrize(
    ("problem", "x", "n", "tolerance"),
    [
        (Gaussian2D(2), [[0.5, 1.0], [-0.3, 0.2]], 600, 1e-6),
        (GaussianMixture2D(), [[0.0, 0.0]], 1500, 1e-4),
        (GaussianMixture2D(), [[9.95, -3.0]], 1500, 1e-4),
        (GaussianMixture2D(), [[11.5, 10.5]], 1500, 1e-4),
        (GaussianMixture2D(), [[-11.5, 10.5]], 1500, 1e-4),
        (GaussianMixture2D(), [[-14.0, 0.0]], 1500, 1e-4),
        (TwoMoons(), [[0.0, 0.0]], 2000, 5e-3),
        (TwoMoons(), [[0.3, 0.05]], 2000, 5e-3),  # where the moons are cut at their ends
        (TwoMoons(), [[-0.7, 0.4]], 2000, 5e-3),  # where the box cuts them
        (TwoMoons(), [[0.2, -1.35]], 2000, 5e-3),
    ],
)
def test_posterior_density_integrates_to_one(
    problem: Problem, x: list[list[float]], n: int, tolerance: float
) -> None:
    exact = problem.posterior(torch.tensor(x))
    draws = exact.sample((20_000,), seed=0)
    low, high = draws.amin(0), draws.amax(0)
    margin = 0.5 * (high - low)
    lows = (low - margin).tolist()
    highs = (high + margin).tolist()
    half = getattr(problem, "half_width", 1.0 if isinstance(problem, TwoMoons) else math.inf)
    grid, area = grid_2d([max(v, -half) for v in lows], [min(v, half) for v in highs], n)
    total = float(exact.log_prob(grid).double().exp().sum() * area)
    assert total == pytest.approx(1, abs=tolerance)
    outside = torch.tensor([[half + 0.01, 0.0], [0.0, -half - 0.01]])
    assert half == math.inf or (exact.log_prob(outside) == -math.inf).all()


# --------------------------------------------------------------------- exact posteriors: samples


@pytest.mark.statistical
def test_gaussian_draws_follow_their_density() -> None:
    problem = Gaussian2D(2)
    x = torch.tensor([[0.5, 1.0], [-0.3, 0.2]])
    exact = problem.posterior(x)
    draws = exact.sample((40_000,), seed=0).double()
    for axis in range(2):
        law = stats.norm(float(exact.mean[axis]), float(exact.covariance[axis, axis]) ** 0.5)
        assert ks(draws[:, axis], law.cdf) > KS_ALPHA
    whitened = (draws - exact.mean) @ torch.linalg.cholesky(exact.covariance.inverse())
    assert ks(whitened.square().sum(1), stats.chi2(2).cdf) > KS_ALPHA


@pytest.mark.statistical
@pytest.mark.parametrize(
    "x", [[0.0, 0.0], [9.95, -3.0], [11.5, 9.0], [-11.5, -10.2], [-10.05, 0.0]]
)
def test_mixture_draws_follow_their_density(x: list[float]) -> None:
    """Marginal CDFs of theta by SciPy's quadrature of the formula, box edges included."""
    widths = (1.0, 0.1)
    draws = GaussianMixture2D().posterior(torch.tensor([x])).sample((20_000,), seed=1).double()
    assert float(draws.abs().max()) <= 10
    keep = [[stats.norm(c, w).cdf(10) - stats.norm(c, w).cdf(-10) for c in x] for w in widths]
    total = sum(np.prod(k) for k in keep)
    for axis in range(2):

        def cdf(t: np.ndarray, axis: int = axis) -> np.ndarray:
            parts = [
                keep[i][1 - axis]
                * (stats.norm(x[axis], w).cdf(t) - stats.norm(x[axis], w).cdf(-10))
                for i, w in enumerate(widths)
            ]
            return sum(parts) / total

        assert ks(draws[:, axis], cdf) > KS_ALPHA


def test_mixture_far_outside_the_box_is_still_accurate() -> None:
    """15 sds away only the wide component's far tail is left: accuracy needs the small tail."""
    for sign in (1, -1):
        exact = GaussianMixture2D().posterior(torch.tensor([[sign * 25.0, 0.0]]))
        grid, area = grid_2d(
            [9.0, -6.0] if sign > 0 else [-10.0, -6.0],
            [10.0, 6.0] if sign > 0 else [-9.0, 6.0],
            600,
        )
        assert float(exact.log_prob(grid).double().exp().sum() * area) == pytest.approx(1, abs=1e-3)
        draws = sign * exact.sample((20_000,), seed=0)[:, 0].double()
        # p(theta1) ∝ exp(−(25 − theta1)²/2) on theta1 ≤ 10: mean by quadrature.
        mass, first = (
            integrate.quad(lambda t, k=k: t**k * math.exp(-0.5 * (25 - t) ** 2 + 112.5), 8, 10)[0]
            for k in (0, 1)
        )
        mean = first / mass
        assert float(draws.mean()) == pytest.approx(mean, abs=5 * 0.07 / 20_000**0.5)


@pytest.mark.statistical
@pytest.mark.parametrize("x", [[0.0, 0.0], [0.32, 0.03], [-0.7, 0.4], [0.25, -1.3]])
def test_two_moons_draws_are_those_of_rejection(x: list[float]) -> None:
    """Prior draws kept with probability ∝ likelihood (formula above) have the same marginals."""
    exact = TwoMoons().posterior(torch.tensor([x]))
    rng = np.random.default_rng(0)
    # Propose from a box around the support only: the prior is flat.
    seen = exact.sample((5000,), seed=5).numpy()
    low, high = np.maximum(seen.min(0) - 0.1, -1), np.minimum(seen.max(0) + 0.1, 1)
    theta = rng.uniform(low, high, size=(3_000_000, 2))
    log_like = likelihood_moons(TwoMoons(), np.array([x]), theta)
    bound = stats.norm(0.1, 0.01).logpdf(0.1) - np.log(np.pi * 0.04)
    assert log_like[np.isfinite(log_like)].max() < bound
    kept = theta[np.log(rng.uniform(size=len(theta))) < log_like - bound]
    assert len(kept) > 2000
    draws = exact.sample((20_000,), seed=1).double().numpy()
    features = [
        lambda t: t[:, 0],
        lambda t: t[:, 1],
        lambda t: t.sum(1),
        lambda t: t[:, 0] * t[:, 1],
    ]
    for feature in features:
        assert stats.ks_2samp(feature(kept), feature(draws)).pvalue > KS_ALPHA


@pytest.mark.statistical
def test_two_moons_by_abc() -> None:
    """The simulator alone, without any formula: theta whose x falls within 0.01 of x_obs."""
    problem = TwoMoons()
    x_obs = torch.tensor([[0.05, 0.1]])
    theta, x = problem.sample(4_000_000, seed=3, device="cpu")
    kept = theta[(x[:, 0] - x_obs).norm(dim=1) < 0.01]
    assert len(kept) > 200
    draws = problem.posterior(x_obs).sample((20_000,), seed=1)
    # ABC blurs by 0.01 in a posterior 0.2 wide: compare what blurring does not change much.
    for a, b in ((kept[:, 0], draws[:, 0]), (kept[:, 1], draws[:, 1])):
        assert stats.ks_2samp(a.numpy(), b.numpy()).statistic < 2.5 / len(kept) ** 0.5
    assert abs(float((kept.sum(1) > 0).float().mean()) - 0.5) < 5 * 0.5 / len(kept) ** 0.5
    assert abs(float((draws.sum(1) > 0).float().mean()) - 0.5) < 5 * 0.5 / 20_000**0.5


@pytest.mark.statistical
@pytest.mark.parametrize("problem", [*BUILT_IN, GaussianMixture2D(1.0, (1.5, 0.3)), Gaussian2D(5)])
def test_exact_posteriors_are_calibrated(problem: Problem) -> None:
    """SBC: ranks of the truth among exact draws are uniform (chi² of 10 bins, alpha 1e-4).

    The third rank is that of max |theta|, which a wrong truncation at the box's edges would shift.
    """
    n_sims, n_draws = 500, 99
    theta, x = problem.sample(n_sims, seed=4, device="cpu")
    ranks = []
    for i in range(n_sims):
        exact = problem.posterior(x[i])
        draws = exact.sample((n_draws,), seed=i)
        truth = theta[i]
        assert torch.isfinite(exact.log_prob(truth))
        features = [
            truth[0] > draws[:, 0],
            truth[1] > draws[:, 1],
            truth.abs().amax() > draws.abs().amax(1),
        ]
        ranks.append([int(f.sum()) for f in features])
    for column in np.array(ranks).T:
        counts = np.bincount(column // 10, minlength=10)
        assert stats.chisquare(counts).pvalue > 1e-4


def test_exact_samples_take_any_shape_and_a_seed() -> None:
    for problem in BUILT_IN:
        _, x = problem.sample(1, seed=0, device="cpu")
        exact = problem.posterior(x[0])
        assert exact.sample((3, 4), seed=0).shape == (3, 4, 2)
        assert exact.log_prob(exact.sample((3, 4), seed=0)).shape == (3, 4)
        assert torch.equal(exact.sample((9,), seed=1), exact.sample((9,), seed=1))
        assert not torch.equal(exact.sample((9,), seed=1), exact.sample((9,), seed=2))
        assert exact.sample((2,)).dtype == torch.float32
        with pytest.raises(ValueError, match="positive entries"):
            exact.sample((0,))
        with pytest.raises(ValueError, match="one data set"):
            problem.posterior(x.repeat(2, 1, 1))
        assert torch.equal(problem.posterior(x).sample((3,), seed=1), exact.sample((3,), seed=1))


# --------------------------------------------------------------------------------- custom problems


@pytest.mark.parametrize("shape", ["(B, F)", "(B, N, F)"])
@pytest.mark.parametrize("kind", ["torch", "numpy", "float64", "integers", "booleans"])
def test_any_simulator_output_becomes_three_axes_of_float32(shape: str, kind: str) -> None:
    def simulator(theta: torch.Tensor) -> object:
        x = torch.cat([theta, theta], -1)
        x = x[:, None].repeat(1, 5, 1) if shape == "(B, N, F)" else x
        if kind == "numpy":
            return x.numpy()[..., ::-1]  # negative strides, too
        return {"float64": x.double(), "integers": x.long(), "booleans": x > 0}.get(kind, x)

    problem = Problem(box_problem().prior, simulator)
    theta, x = problem.sample(7, seed=0, device="cpu")
    assert x.shape == ((7, 1, 4) if shape == "(B, F)" else (7, 5, 4))
    assert x.dtype == theta.dtype == torch.float32
    one = problem.simulate(theta[:1])
    assert one.shape[0] == 1


def test_a_simulator_cannot_change_theta_behind_our_back() -> None:
    def in_place(theta: torch.Tensor) -> torch.Tensor:
        theta *= 0
        return theta

    prior = box_problem().prior
    theta, x = Problem(prior, in_place).sample(10, seed=0, device="cpu")
    assert torch.equal(theta, Problem(prior, in_place).sample_prior(10, seed=0, device="cpu"))
    assert float(x.abs().max()) == 0
    kept = torch.ones(3, 2)
    Problem(prior, in_place).simulate(kept)
    assert float(kept.min()) == 1


@pytest.mark.statistical
def test_a_random_number_of_observations_is_log_uniform() -> None:
    problem = Gaussian2D((1, 16))
    generator = torch.Generator().manual_seed(0)
    drawn = np.array([problem.draw_n_obs(generator) for _ in range(20_000)])
    assert drawn.min() == 1
    assert drawn.max() == 16
    edges = np.log(np.arange(1, 18)) / np.log(17)
    expected = np.diff(edges) * len(drawn)
    assert stats.chisquare(np.bincount(drawn, minlength=17)[1:], expected).pvalue > 1e-4
    sizes = {problem.sample(2, seed=s, device="cpu")[1].shape[1] for s in range(40)}
    assert len(sizes) > 5
    assert problem.sample(2, seed=0, device="cpu", n_obs=7)[1].shape == (2, 7, 2)
    assert not problem.fixed_n_obs
    assert Gaussian2D(4).fixed_n_obs


def test_n_obs_reaches_a_custom_simulator() -> None:
    def simulator(theta: torch.Tensor, n_obs: int) -> torch.Tensor:
        return theta[:, None, :].expand(-1, n_obs, -1)

    prior = box_problem().prior
    assert Problem(prior, simulator, n_obs=6).sample(2, device="cpu")[1].shape == (2, 6, 2)
    x = Problem(prior, simulator, n_obs=[3, 5]).sample(2, device="cpu")[1]
    assert 3 <= x.shape[1] <= 5


def test_priors_with_cyclic_transforms_can_be_moved() -> None:
    """Gumbel's transforms and their inverses refer to one another."""
    prior = Independent(torch.distributions.Gumbel(torch.zeros(2), torch.ones(2)), 1)
    moved = Problem(prior, lambda theta: theta).prior_on("cpu")
    assert moved is not prior
    value = torch.tensor([0.3, 1.5])
    assert torch.equal(moved.log_prob(value), prior.log_prob(value))
    assert Problem(prior, lambda theta: theta).prior_on("meta").base_dist.loc.device.type == "meta"


def test_moving_a_prior_keeps_its_law() -> None:
    covariance = torch.tensor([[2.0, 0.3], [0.3, 1.0]])
    for prior in (
        MultivariateNormal(torch.ones(2), covariance),
        Independent(Normal(torch.ones(2), 2.0), 1),
    ):
        moved = Problem(prior, lambda theta: theta).prior_on("cpu")
        value = torch.randn(5, 2)
        assert torch.equal(moved.log_prob(value), prior.log_prob(value))


def test_names() -> None:
    assert set(ds.problems.available()) == {
        "gaussian_2d", "two_moons", "gaussian_mixture_2d",
        "witchs_hat", "sum_of_cosines", "dirichlet_multinomial",
        "poisson_gamma", "species_sampling", "socks", "dirichlet_laplace", "slcp",
        "normal_gamma", "normal_inverse_wishart", "g_and_k", "ar1", "stochastic_volatility",
        "linear_gaussian",
        "lotka_volterra", "markov_switching", "fractional_brownian_motion", "minnesota_var",
    }  # fmt: skip
    for name, kind in ds.problems.available().items():
        assert isinstance(ds.problems.get(name), kind)
        assert ds.problems.get(name).name == name
    assert ds.problems.get("gaussian_2d", n_obs=4).n_obs == 4
    assert snake_case("NormalInverseWishart") == "normal_inverse_wishart"
    assert "dim=2" in repr(TwoMoons())
    custom = Problem(box_problem(dim=3).prior, lambda theta: theta, name="mine")
    assert custom.theta_names == ("theta 1", "theta 2", "theta 3")
    assert custom.config() is None
    assert isinstance(custom.prior, Distribution)
    with pytest.raises(ds.NoExactPosterior, match="mine"):
        custom.posterior(torch.zeros(1, 3))


@pytest.mark.parametrize("name", ds.problems.available())
def test_every_problem_has_a_story_of_three_sentences(name: str) -> None:
    told = ds.problems.story(name)
    sentences = re.split(r"(?<=[.!?])\s+", told)
    assert len(sentences) == 3
    assert all(text[0].isupper() and text.endswith(".") for text in sentences)
    assert sentences[2].startswith("Look for "), "the last says what to look for"
    assert not re.search(r"[$\\^_{}]", told), "words, not formulas"
    assert 120 < len(told) < 600


def test_stories_are_of_our_problems() -> None:
    assert STORIES.keys() == ds.problems.available().keys()
    assert len({*map(ds.problems.story, STORIES)}) == len(STORIES)
    with pytest.raises(ValueError, match="unknown problem 'two_moon'; did you mean 'two_moons'"):
        ds.problems.story("two_moon")


@pytest.mark.parametrize(
    "problem", [Gaussian2D((2, 5), noise_sd=0.3), TwoMoons(), GaussianMixture2D(3.0)]
)
def test_config_rebuilds_the_problem(problem: Problem) -> None:
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in problem.config().items()}
    again = ds.problems.get(problem.name, **config)
    theta, x = problem.sample(5, seed=0, device="cpu", n_obs=2 if problem.n_obs else None)
    other = again.sample(5, seed=0, device="cpu", n_obs=2 if problem.n_obs else None)
    assert torch.equal(theta, other[0])
    assert torch.equal(x, other[1])
    assert again.config() == problem.config()


def test_midpoint_grid_is_right() -> None:
    points, width = midpoints(-1, 1, 4)
    assert points.tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert width == 0.5
    assert isinstance(Uniform(0, 1), Distribution)
