"""PoissonGamma against SciPy: simulator, posterior, calibration, known failures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ranks import calibrated, p_values
from references import KS_ALPHA
from scipy import integrate, stats

import diffsbi_edu as ds
from diffsbi_edu.problems import PoissonGamma
from diffsbi_edu.transforms import ToLatent


@pytest.mark.statistical
def test_simulator_has_its_law() -> None:
    """Rates are gamma; counts given a rate are Poisson, and negative binomial without. 5e-4."""
    problem = PoissonGamma(3, shape=1.5, scale=2.0)
    theta, x = problem.sample(40_000, seed=0, device="cpu")
    assert x.shape == (40_000, 1, 3)
    for rates in theta.double().T.numpy():
        assert stats.kstest(rates, stats.gamma(1.5, scale=2.0).cdf).pvalue > KS_ALPHA
    given = problem.simulate(torch.full((40_000, 3), 3.7), seed=1)
    for counts, law in ((x, stats.nbinom(1.5, 1 / 3)), (given, stats.poisson(3.7))):
        seen = np.bincount(counts.flatten().long().numpy().clip(0, 15), minlength=16)
        wanted = np.append(law.pmf(np.arange(15)), law.sf(14)) * counts.numel()
        assert stats.chisquare(seen, wanted).pvalue > 1e-4


@pytest.mark.parametrize("counts", [(0, 0), (1, 5), (40, 2)])
def test_posterior_is_bayes_rule_by_quadrature(counts: tuple[int, int]) -> None:
    exact = PoissonGamma(2, shape=2.5, scale=0.7).posterior(torch.tensor([counts]).float())
    theta = np.array([[0.2, 1.1], [3.0, 0.4], [20.0, 4.0]])
    wanted = np.zeros(3)
    for i, count in enumerate(counts):

        def joint(rate: float, count: int = count) -> float:
            return stats.gamma(2.5, scale=0.7).pdf(rate) * stats.poisson(rate).pmf(count)

        peak = (count + 1.5) / (1 + 1 / 0.7)
        evidence = sum(
            integrate.quad(joint, *ends, epsabs=0)[0] for ends in ((0, peak), (peak, peak + 60))
        )
        wanted += np.log([joint(rate) / evidence for rate in theta[:, i]])
    assert np.allclose(exact.log_prob(torch.tensor(theta)).numpy(), wanted, atol=1e-4)
    assert exact.log_prob(torch.tensor([-0.1, 1.0])) == -math.inf


@pytest.mark.statistical
def test_exact_posterior_is_calibrated_and_a_wrong_one_is_not() -> None:
    problem = PoissonGamma()
    assert calibrated(p_values(problem, 2000, density=True))
    wrong = PoissonGamma(scale=1.3)
    assert not calibrated(p_values(problem, 2000, posterior=wrong.posterior))


def test_latents() -> None:
    problem = PoissonGamma()
    theta = problem.sample_prior(5000, seed=0, device="cpu")
    to_latent = ToLatent(problem.prior)
    to_latent.fit(theta)
    z = to_latent(theta)
    assert torch.allclose(to_latent.inverse(z), theta, rtol=1e-4)
    assert z.mean(0).abs().max() < 1e-3
    assert (to_latent.inverse(5 * torch.randn(1000, 10)) > 0).all()


def test_bad_input() -> None:
    for dim in (0, 2.0, "3"):
        with pytest.raises(ValueError, match="dim, the number of rates"):
            PoissonGamma(dim)  # type: ignore[arg-type]
    for value in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="shape, of the gamma prior"):
            PoissonGamma(shape=value)
        with pytest.raises(ValueError, match="scale, of the gamma prior"):
            PoissonGamma(scale=value)
    for x, words in (
        (torch.full((1, 10), 0.5), "must be counts"),
        (torch.full((1, 10), -1.0), "must be counts"),
        (torch.zeros(2, 10), "N = 1"),
        (torch.zeros(1, 9), "F = 10"),
    ):
        with pytest.raises(ValueError, match=words):
            PoissonGamma().posterior(x)


def test_config_rebuilds_the_problem() -> None:
    problem = PoissonGamma(4, 3.0, 0.5)
    again = ds.problems.get("poisson_gamma", **problem.config())
    assert torch.equal(problem.sample(5, seed=0)[1], again.sample(5, seed=0)[1])
    assert again.theta_names[3] == "rate 4"
    assert again.x_names[0] == "count 1"
