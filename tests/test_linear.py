"""LinearGaussian: simulator and posterior against the joint normal law, SciPy, quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from references import grid_2d, small_model
from scipy import stats

import diffsbi_edu as ds
from diffsbi_edu.problems import LinearGaussian

PRIOR = [[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]]
PROBLEMS = [
    LinearGaussian(),
    LinearGaussian(dim=3, features=7, noise_sd=0.2, correlation=0.8, prior_covariance=PRIOR),
    LinearGaussian(dim=3, features=1),
    LinearGaussian(dim=2, matrix=[[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]], noise_sd=2.0),
]
over_problems = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: f"{p.matrix.shape}")


def joint_law(problem: LinearGaussian) -> np.ndarray:
    """Covariance of (theta, x), written down block by block."""
    a, prior = problem.matrix.double().numpy(), problem.prior_covariance.double().numpy()
    x = a @ prior @ a.T + problem.noise_sd**2 * np.eye(len(a))
    return np.block([[prior, prior @ a.T], [a @ prior, x]])


@over_problems
@pytest.mark.statistical
def test_simulator_has_its_moments(problem: LinearGaussian) -> None:
    """Covariances within 5 standard errors."""
    n = 200_000
    theta, x = problem.sample(n, seed=0, device="cpu")
    assert x.shape == (n, 1, len(problem.matrix))
    found = np.cov(torch.cat([theta, x[:, 0]], -1).T.numpy())
    exact = joint_law(problem)
    sd = np.sqrt(np.diag(exact))
    assert np.all(np.abs(found - exact) <= 5 * np.outer(sd, sd) * (2 / n) ** 0.5)


@over_problems
def test_posterior_is_the_joint_law_conditioned(problem: LinearGaussian) -> None:
    d, law = problem.dim, joint_law(problem)
    theta, x = problem.sample(5, seed=1, device="cpu")
    gain = law[:d, d:] @ np.linalg.inv(law[d:, d:])
    covariance = law[:d, :d] - gain @ law[d:, :d]
    for one, row in zip(theta, x):
        posterior = problem.posterior(row)
        mean = gain @ row[0].double().numpy()
        assert np.allclose(posterior.mean, mean, atol=1e-6)
        assert np.allclose(posterior.covariance, covariance, atol=1e-7)
        exact = stats.multivariate_normal(mean, covariance).logpdf(one.double().numpy())
        assert float(posterior.log_prob(one)) == pytest.approx(exact, abs=1e-4)


def test_posterior_is_prior_times_likelihood_by_quadrature() -> None:
    problem = PROBLEMS[3]
    _, x = problem.sample(1, seed=2, device="cpu")
    posterior = problem.posterior(x[0])
    points, cell = grid_2d([-6.0, -6.0], [6.0, 6.0], 400)
    log_prior = stats.multivariate_normal(np.zeros(2), np.eye(2)).logpdf(points.numpy())
    clean = points.numpy() @ problem.matrix.double().numpy().T
    log_likelihood = stats.norm(clean, problem.noise_sd).logpdf(x[0].numpy()).sum(-1)
    density = np.exp(log_prior + log_likelihood)
    density /= density.sum() * cell
    found = posterior.log_prob(points).double().exp().numpy()
    assert np.abs(found - density).max() < 1e-5 * density.max() + 1e-5
    assert found.sum() * cell == pytest.approx(1, abs=1e-5)


def test_the_blur() -> None:
    """Sensors stand evenly along the chain; its conditioning is as the docstring says."""
    a = LinearGaussian(dim=3, features=5, correlation=0.25).matrix
    assert torch.allclose(a[1], torch.tensor([0.5, 0.5, 0.125]))  # sensor at 0.5
    assert torch.equal(LinearGaussian(4, correlation=0.0).matrix, torch.eye(4))
    assert torch.allclose(LinearGaussian(3, 1).matrix, torch.tensor([[0.5, 1.0, 0.5]]))
    singular = torch.linalg.svdvals(LinearGaussian(60).matrix)
    assert 7 < float(singular[0] / singular[-1]) < 9
    assert torch.equal(LinearGaussian().matrix, LinearGaussian().matrix)


def test_config_rebuilds_it_and_a_saved_model_finds_it(tmp_path) -> None:
    for problem in PROBLEMS:
        again = ds.problems.get("linear_gaussian", **problem.config())
        assert again.config() == problem.config()
        assert torch.equal(problem.sample(3, seed=0)[1], again.sample(3, seed=0)[1])
    model = small_model(PROBLEMS[1]).standardise()
    model.save(tmp_path / "model.safetensors")
    loaded = ds.load(tmp_path / "model.safetensors", device="cpu")
    assert torch.equal(loaded.problem.matrix, PROBLEMS[1].matrix)
    assert torch.equal(loaded.problem.prior_covariance, PROBLEMS[1].prior_covariance)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 0}, "dim must be a whole number"),
        ({"dim": 2.5}, "dim must be a whole number"),
        ({"features": 0}, "features must be a whole number"),
        ({"noise_sd": 0.0}, "noise_sd must be positive"),
        ({"noise_sd": float("nan")}, "noise_sd must be positive"),
        ({"correlation": 1.0}, r"correlation must be in \[0, 1\)"),
        ({"dim": 2, "matrix": torch.eye(3)}, r"matrix must have shape \(F, 2\), got \(3, 3\)"),
        ({"dim": 2, "features": 4, "matrix": torch.eye(2)}, r"shape \(4, 2\), got \(2, 2\)"),
        ({"dim": 1, "matrix": [[float("inf")]]}, "matrix has NaN or infinite"),
        ({"dim": 2, "prior_covariance": torch.eye(3)}, r"prior_covariance must have shape"),
        ({"dim": 2, "prior_covariance": [[1.0, 2.0], [2.0, 1.0]]}, "positive definite"),
        ({"dim": 2, "prior_covariance": [[1.0, 0.5], [0.0, 1.0]]}, "symmetric"),
    ],
)
def test_impossible_settings(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearGaussian(**settings)


def test_bad_observations() -> None:
    problem = LinearGaussian(2, 3)
    with pytest.raises(ValueError, match="F = 3 features"):
        problem.posterior(torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"N = 1.*got N = 2"):
        problem.posterior(torch.zeros(2, 3))
    assert torch.equal(problem.posterior(torch.zeros(3)).mean, torch.zeros(2).double())
