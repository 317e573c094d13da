"""Latent maps: bijections with the right Jacobian that never leave the prior's support."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import KS_ALPHA, small_model
from scipy import special, stats
from torch import distributions as d

from diffsbi_edu import Problem
from diffsbi_edu.problems import (
    AR1,
    GAndK,
    NormalGamma,
    NormalInverseWishart,
    Product,
    StochasticVolatility,
)
from diffsbi_edu.runtime import normal_cdf
from diffsbi_edu.transforms import Standardise, ToLatent, prior_transform


def each(family: type[d.Distribution], *parameters: list[float]) -> d.Distribution:
    return d.Independent(family(*(torch.tensor(p) for p in parameters)), 1)


COVARIANCE = torch.tensor([[4.0, 1.2, 0.0], [1.2, 1.0, -0.3], [0.0, -0.3, 0.5]])
PRIORS: dict[str, d.Distribution] = {
    "Normal": each(d.Normal, [5.0, -3.0], [2.0, 0.01]),
    "MultivariateNormal": d.MultivariateNormal(torch.tensor([1.0, 2.0, 3.0]), COVARIANCE),
    "LowRank": d.LowRankMultivariateNormal(torch.zeros(3), torch.ones(3, 1), torch.ones(3)),
    "Uniform": each(d.Uniform, [-1.0, 0.7], [1.0, 1.3]),
    "narrow Uniform": each(d.Uniform, [1000.0, -3.0], [1000.5, -2.999]),
    "LogNormal": each(d.LogNormal, [0.0, 3.0], [1.0, 0.5]),
    "Gamma": each(d.Gamma, [0.8, 5.0], [1.0, 0.1]),
    "InverseGamma": each(d.InverseGamma, [3.0, 5.0], [1.0, 4.0]),
    "Beta": each(d.Beta, [2.0, 0.5], [3.0, 0.5]),
    "Chi2": each(d.Chi2, [4.0, 9.0]),
    "Exponential": each(d.Exponential, [1.0, 0.01]),
    "HalfNormal": each(d.HalfNormal, [1.0, 7.0]),
    "HalfCauchy": each(d.HalfCauchy, [1.0, 7.0]),
    "Laplace": each(d.Laplace, [0.0, 3.0], [1.0, 0.2]),
    "Cauchy": each(d.Cauchy, [0.0, 3.0], [1.0, 0.2]),
    "StudentT": each(d.StudentT, [3.0, 5.0]),
    "Gumbel": each(d.Gumbel, [0.0, 3.0], [1.0, 0.2]),
    "Weibull": each(d.Weibull, [1.0, 3.0], [1.5, 2.0]),
    "Pareto": each(d.Pareto, [1.0, 2.0], [3.0, 4.0]),
    "Kumaraswamy": each(d.Kumaraswamy, [2.0, 3.0], [2.0, 1.5]),
    "ContinuousBernoulli": each(d.ContinuousBernoulli, [0.3, 0.8]),
    "Dirichlet": d.Dirichlet(torch.tensor([2.0, 0.7, 5.0])),
    "flat Dirichlet": d.Dirichlet(torch.ones(12)),
    "Tanh": d.Independent(
        d.TransformedDistribution(
            d.Normal(torch.zeros(2), 1.0), [d.AffineTransform(0.3, 0.5), d.TanhTransform()]
        ),
        1,
    ),
    "Mixture": d.MixtureSameFamily(
        d.Categorical(torch.ones(2)), each(d.Normal, [[-9.0] * 2, [9.0] * 2], [[1.0] * 2] * 2)
    ),
    "mixed": d.TransformedDistribution(
        d.Independent(d.Normal(torch.zeros(2), 1.0), 1),
        [d.StackTransform([d.ExpTransform(), d.SigmoidTransform()], dim=-1)],
    ),
    "NormalGamma": NormalGamma().prior,
    "NormalInverseWishart": NormalInverseWishart().prior,
    "AR1": AR1().prior,
    "GAndK": GAndK().prior,
    "StochasticVolatility": StochasticVolatility().prior,
    "product": Product(
        [d.Dirichlet(torch.ones(3)), d.Uniform(-2.0, 7.0), each(d.Gamma, [2.0, 5.0], [1.0, 1.0])],
        columns=[(5, 0, 2), (4,), (1, 3)],
    ),
}
CONJUGATE = ("NormalGamma", "NormalInverseWishart", "AR1")
over_priors = pytest.mark.parametrize("name", PRIORS)


def draws_of(prior: d.Distribution, n: int, seed: int = 0) -> torch.Tensor:
    return Problem(prior, lambda theta: theta).sample_prior(n, seed=seed, device="cpu")


def fitted(prior: d.Distribution) -> ToLatent:
    to_latent = ToLatent(prior)
    to_latent.fit(draws_of(prior, 5000, seed=9))
    return to_latent


@over_priors
def test_round_trip_and_size(name: str) -> None:
    prior = PRIORS[name]
    to_latent, theta = fitted(prior), draws_of(prior, 2000)
    z = to_latent(theta)
    simplex = isinstance(prior, d.Dirichlet) or name == "product"
    assert z.shape == (2000, prior.event_shape[0] - simplex)
    assert to_latent.latent_dim == z.shape[1]
    assert z.isfinite().all()
    back = to_latent.inverse(z)
    spread = theta.quantile(0.75, dim=0) - theta.quantile(0.25, dim=0)
    inner = (z.abs() < 3.5).all(1)
    assert inner.float().mean() > 0.9
    assert ((back - theta).abs() / (spread + theta.abs()))[inner].max() < 1e-3
    assert (to_latent(back) - z)[inner].abs().max() < 2e-2
    assert to_latent(theta.reshape(4, 500, -1)).shape[:2] == (4, 500)
    assert to_latent.log_abs_det(theta.reshape(4, 500, -1)).shape == (4, 500)


@over_priors
def test_jacobian_is_autograds(name: str) -> None:
    """Of the inverse map, in float64: log|dz/dtheta| = −log|dtheta/dz|."""
    prior = PRIORS[name]
    to_latent = fitted(prior)
    theta = draws_of(prior, 300, seed=1)
    z = to_latent(theta)
    keep = (z.abs() < 3).all(1)
    for row in z[keep][:25]:
        value = row.double() if name not in ("mixed", "Tanh") else row
        module = to_latent.double() if value.dtype == torch.float64 else to_latent
        at = module.inverse(value)
        jacobian = torch.autograd.functional.jacobian(module.inverse, value)[: len(value)]
        expected = -float(torch.linalg.slogdet(jacobian)[1])
        if name in ("narrow Uniform", "ContinuousBernoulli", "Pareto", "Kumaraswamy", "Weibull"):
            at = at.double()  # CDFs with constants of their own
        assert float(module.log_abs_det(at)) == pytest.approx(expected, abs=2e-2), row
    to_latent.float()


@over_priors
def test_nothing_leaves_the_support(name: str) -> None:
    """Ordinary, large and absurd latents; the density there is finite, too."""
    prior = PRIORS[name]
    to_latent = fitted(prior)
    generator = torch.Generator().manual_seed(0)
    shape = (20_000, to_latent.latent_dim)
    signs = torch.randn(shape, generator=generator).sign()
    latents = [
        torch.randn(shape, generator=generator),
        10 * torch.randn(shape, generator=generator),
        1e3 * torch.randn(shape, generator=generator),
        1e6 * signs,
        torch.full(shape, 1e6),
        torch.full(shape, -1e6),
    ]
    for z in latents:
        theta = to_latent.inverse(z)
        assert theta.isfinite().all()
        assert prior.support.check(theta).all()
        assert to_latent(theta).isfinite().all()
        # Densities that float32 cannot hold: at 1e35, at ±1, and of a stack; of sd = 1e-35.
        if name not in ("InverseGamma", "Tanh", "mixed", *CONJUGATE):
            assert prior.log_prob(theta).isfinite().all()


GAUSSIANISED = ["Normal", "MultivariateNormal", "Uniform", "LogNormal", "Exponential", "Laplace",
                "Gumbel", "Weibull", "HalfCauchy", "StochasticVolatility"]  # fmt: skip


@pytest.mark.statistical
@pytest.mark.parametrize("name", GAUSSIANISED)
def test_a_prior_with_a_known_cdf_becomes_standard_normal(name: str) -> None:
    prior = PRIORS[name]
    to_latent = ToLatent(prior)
    assert to_latent.prior.gaussian_prior
    theta = draws_of(prior, 50_000, seed=2)
    to_latent.fit(1000 * theta)  # must change nothing: these units are exact
    z = to_latent(theta)
    for column in z.T:
        assert stats.kstest(column.numpy(), stats.norm.cdf).pvalue > KS_ALPHA
    assert (torch.corrcoef(z.T) - torch.eye(z.shape[1])).abs().max() < 5 / 50_000**0.5


@over_priors
def test_the_latent_prior_is_standardised(name: str) -> None:
    z = fitted(PRIORS[name])(draws_of(PRIORS[name], 20_000, seed=3))
    heavy = {"Cauchy": 1.0, "StudentT": 0.5}.get(name, 0.1)
    assert z.mean(0).abs().max() < heavy
    assert (z.std(0) - 1).abs().max() < heavy


@settings(derandomize=True, deadline=None)
@given(
    low=st.floats(-1e3, 1e3),
    width=st.floats(1e-2, 1e3),
    z=st.floats(-5, 5),
)
def test_uniform_against_scipy_in_both_tails(low: float, width: float, z: float) -> None:
    bounds = torch.tensor([low, low + width], dtype=torch.float32)
    prior = d.Independent(d.Uniform(bounds[:1], bounds[1:]), 1)
    to_latent = prior_transform(prior)
    theta = to_latent.inverse(torch.tensor([z])).double()
    lo, hi = bounds.double().tolist()
    tail = special.ndtr(-abs(z)) * (hi - lo)
    expected = lo + tail if z < 0 else hi - tail
    assert float(theta) == pytest.approx(expected, abs=3e-7 * max(abs(lo), abs(hi), hi - lo))
    if lo == 0 or abs(lo) < 1e-3 * width:  # where float32 can resolve the tail
        assert tail == 0 or z > 0 or float(theta) - lo == pytest.approx(tail, rel=1e-2, abs=1e-6)


def test_tails_of_a_uniform_prior_are_resolved() -> None:
    """At 5 sds torch's own ndtr is 4 % off in float32, and 0 at 6."""
    u = torch.tensor([-3.0, -5.0, -6.0, -8.0, -12.0])
    assert np.allclose(normal_cdf(u).numpy(), special.ndtr(u.double().numpy()), rtol=1e-4, atol=0)
    unit = prior_transform(d.Independent(d.Uniform(torch.zeros(1), torch.ones(1)), 1))
    theta = unit.inverse(u[:2, None])
    assert torch.allclose(unit(theta)[:, 0], u[:2], atol=1e-3)
    assert unit.inverse(torch.tensor([[6.0]])) < 1


def test_bounds_of_float64_are_rounded_inwards() -> None:
    low = torch.tensor([0.7, 0.1, 1 / 3], dtype=torch.float64)
    high = torch.tensor([0.9, 0.2, 2 / 3], dtype=torch.float64)
    prior = d.Independent(d.Uniform(low, high), 1)
    to_latent = prior_transform(prior)
    for z in (-1e6, 1e6):
        theta = to_latent.inverse(torch.full((3,), z))
        assert prior.log_prob(theta.double()).isfinite()


def test_a_normal_prior_is_exact_far_in_its_tails() -> None:
    """A posterior may lie 20 prior sds away: no CDF in between may saturate."""
    to_latent = fitted(PRIORS["Normal"])
    theta = torch.tensor([[45.0, -3.4], [-95.0, -2.0]])
    expected = torch.tensor([[20.0, -40.0], [-50.0, 100.0]])
    assert torch.allclose(to_latent(theta), expected, rtol=1e-4)
    assert torch.allclose(to_latent.inverse(expected), theta, rtol=1e-5)
    assert torch.allclose(to_latent.log_abs_det(theta), torch.tensor(-math.log(0.02)).expand(2))


def test_change_of_variables_gives_back_the_prior() -> None:
    """log N(z; 0, I) + log|dz/dtheta| is the prior's own log density, where z is exactly normal."""
    for name in GAUSSIANISED:
        prior = PRIORS[name]
        theta = draws_of(prior, 500, seed=4)
        to_latent = ToLatent(prior)
        z = to_latent(theta)
        inner = (z.abs() < 3).all(1)
        log_normal = stats.norm.logpdf(z.numpy()).sum(1)
        log_prior = log_normal + to_latent.log_abs_det(theta).numpy()
        expected = prior.log_prob(theta).numpy()
        assert np.abs(log_prior - expected)[inner.numpy()].max() < 5e-3, name


def test_a_support_that_torch_cannot_map() -> None:
    class Odd(d.Distribution):
        arg_constraints = {}  # noqa: RUF012
        has_rsample = False

        def __init__(self) -> None:
            super().__init__(event_shape=torch.Size([2]), validate_args=False)

    with pytest.raises(ValueError, match=r"unbounded.*parametrisation"):
        prior_transform(Odd())


def test_discrete_parameters_diffuse_as_if_continuous() -> None:
    prior = d.Independent(d.Poisson(torch.tensor([5.0, 50.0])), 1)
    to_latent = fitted(prior)
    theta = draws_of(prior, 100)
    assert torch.allclose(to_latent.inverse(to_latent(theta)), theta, atol=1e-3)


def test_a_product_is_its_pieces_in_their_columns() -> None:
    """Against the pieces themselves, drawn and evaluated one by one."""
    prior, theta = PRIORS["product"], draws_of(PRIORS["product"], 500)
    simplex, flat, positive = theta[:, [5, 0, 2]], theta[:, 4], theta[:, [1, 3]]
    assert torch.allclose(simplex.sum(1), torch.ones(500))
    assert 6 < float(flat.max()) < 7
    expected = d.Dirichlet(torch.ones(3)).log_prob(simplex)
    expected = expected + d.Uniform(-2.0, 7.0).log_prob(flat)
    expected = expected + each(d.Gamma, [2.0, 5.0], [1.0, 1.0]).log_prob(positive)
    assert torch.allclose(prior.log_prob(theta), expected, atol=1e-4)
    for column, value in ((4, 8.0), (1, -1.0), (0, -0.2)):
        outside = theta.clone()
        outside[:, column] = value
        assert not prior.support.check(outside).any()
        assert (prior.log_prob(outside) == -math.inf).all()
    # The uniform piece alone is exactly normal: u = Phi⁻¹((theta + 2)/9), after the simplex's two.
    u = prior_transform(prior)(theta)[:, 2].double()
    assert torch.allclose(special_ndtr(u), (flat.double() + 2) / 9, atol=1e-5)
    assert not prior_transform(prior).gaussian_prior


def special_ndtr(u: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(special.ndtr(u.numpy()))


def test_products_of_impossible_pieces() -> None:
    normal = d.Normal(0.0, 1.0)
    with pytest.raises(TypeError, match="factors must be"):
        Product([normal, 3.0])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="batch shape"):
        Product([d.Normal(torch.zeros(2), 1.0)])
    for columns in ([(0,), (0,)], [(0,), (2,)], [(0, 1), ()], [(0,)]):
        with pytest.raises(ValueError, match="each of the 2 columns once"):
            Product([normal, normal], columns)


@pytest.mark.statistical
def test_the_wishart_prior_is_light_tailed_in_the_latent_space() -> None:
    """L⁻¹ mean and the Bartlett factor below its diagonal are N(0, 1), its diagonal² is chi²."""
    prior = PRIORS["NormalInverseWishart"]
    u = prior_transform(prior)(draws_of(prior, 20_000, seed=5)).double().numpy()
    diagonal = [4, 6, 9, 13]
    for column in range(14):
        if column in diagonal:
            law = stats.chi2(6 - 4 + 1 + diagonal.index(column))
            assert stats.kstest(np.exp(2 * u[:, column]), law.cdf).pvalue > KS_ALPHA
        else:
            assert stats.kstest(u[:, column], stats.norm.cdf).pvalue > KS_ALPHA
    z = fitted(prior)(draws_of(prior, 20_000, seed=6))
    assert z.abs().max() < 9


def test_a_real_coordinate_next_to_a_positive_one_has_no_limit() -> None:
    """torch's own bijection of such a stack would do; ours only clamps the logarithms."""
    to_latent = prior_transform(NormalGamma().prior)
    theta = torch.tensor([[5000.0, 3.0], [-1e6, 0.01]])
    assert torch.allclose(to_latent.inverse(to_latent(theta)), theta, rtol=1e-5)
    assert torch.allclose(to_latent(theta)[:, 1], theta[:, 1].log())


# ---------------------------------------------------------------------------------- standardising


@settings(derandomize=True, deadline=None)
@given(
    rows=st.integers(1, 50),
    dim=st.integers(1, 5),
    power=st.integers(-40, 40),
    seed=st.integers(0, 2**31),
)
def test_standardise_is_numpys(rows: int, dim: int, power: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(rows, 3, dim)) * 2.0**power
    values = values.astype(np.float32)
    standardise = Standardise(dim)
    standardise.fit(torch.tensor(values))
    flat = values.reshape(-1, dim).astype(np.float64)
    assert np.allclose(standardise.mean, flat.mean(0), rtol=1e-5, atol=1e-6 * 2.0**power)
    assert np.allclose(standardise.scale, flat.std(0), rtol=1e-5, atol=0)
    z = standardise(torch.tensor(values))
    assert torch.allclose(standardise.inverse(z), torch.tensor(values), atol=1e-5 * 2.0**power)


def test_standardise_survives_constants_and_single_rows() -> None:
    for values in ([[3.0, 1.0]], [[3.0, 1.0], [3.0, 2.0]], [[0.0, 1e20], [0.0, 2e20]]):
        standardise = Standardise(2)
        standardise.fit(torch.tensor(values))
        z = standardise(torch.tensor(values))
        assert z.isfinite().all()
        assert float(standardise.scale[0]) == 1
        assert (z[:, 0] == 0).all()


# -------------------------------------------------------------------------------- the bar


@pytest.mark.parametrize("name", ["Uniform", "narrow Uniform", "Beta", "Gamma", "Dirichlet"])
def test_a_million_samples_of_an_untrained_model_stay_inside(name: str) -> None:
    """0 of 10⁶ samples outside the prior's support, whatever the network says."""
    prior = PRIORS[name]
    model = small_model(Problem(prior, lambda theta: theta[:, :1]), width=4)
    theta = model.sample(torch.zeros(1, 1), 1_000_000, seed=0, sampler="euler", steps=3)
    assert theta.shape == (1_000_000, prior.event_shape[0])
    assert prior.support.check(theta).all()
    assert prior.log_prob(theta).isfinite().all()


@pytest.mark.parametrize("name", ["Uniform", "Beta", "Gamma", "Dirichlet"])
def test_a_model_with_absurd_outputs_stays_inside(name: str) -> None:
    prior = PRIORS[name]
    model = small_model(Problem(prior, lambda theta: theta[:, :1]), width=4)
    with torch.no_grad():
        model.denoiser.network.leave.bias.copy_(
            1e6 * torch.randn(model.latent_dim, generator=torch.Generator().manual_seed(0))
        )
    for sampler in ("dpm_solver_2m", "heun", "euler_maruyama", "edm_stochastic"):
        theta = model.sample(torch.zeros(1, 1), 2000, seed=0, sampler=sampler, steps=5)
        assert prior.support.check(theta).all()
        assert prior.log_prob(theta).isfinite().all()
