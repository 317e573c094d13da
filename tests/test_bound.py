"""The KL bound against closed forms, quadrature, and decoders that are wrong in a known way."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from references import small_model
from scipy import integrate, stats
from torch import nn

import diffsbi_edu as ds
from diffsbi_edu.diagnostics import (
    KLBound,
    LinearTruth,
    follow_bound,
    kl_bound,
    linear_summary_model,
    log_score,
)
from diffsbi_edu.diagnostics.linear_truth import GaussianGiven, affine_map, less_noise
from diffsbi_edu.diagnostics.linearised import linearised_law
from diffsbi_edu.problems import LinearGaussian

PRIOR = [[2.0, 0.6], [0.6, 0.5]]
PROBLEM = LinearGaussian(dim=2, features=5, noise_sd=0.6, prior_covariance=PRIOR)
SMALL = {"width": 16, "depth": 1, "device": "cpu"}


class Decoder(nn.Module):
    """A denoiser that is any function of (y, r, x); s is the standardised x of `Identity`."""

    def __init__(self, model: ds.ConditionalDiffusion, function: Callable) -> None:
        super().__init__()
        self.units, self.function = model.standardise_x, function

    def forward(self, y: torch.Tensor, ratio: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        guess: torch.Tensor = self.function(y, ratio, self.units.inverse(s))
        return guess


def model_with(
    function: Callable[[LinearTruth], Callable], problem: LinearGaussian = PROBLEM
) -> tuple[ds.ConditionalDiffusion, LinearTruth]:
    model = small_model(problem).standardise(seed=0)
    truth = LinearTruth(model)
    model.denoiser = Decoder(model, function(truth))  # type: ignore[assignment]
    return model, truth


def denoiser_of(gain: torch.Tensor, covariance: torch.Tensor, shift: torch.Tensor) -> Callable:
    """E[z | y] for z | x ~ N(gain x + shift, covariance), from the normal equations, in float32."""

    def denoise(y: torch.Tensor, ratio: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        mean = (x.double() @ gain.T + shift)[..., None]
        r2 = torch.as_tensor(ratio).double()[..., None] ** 2
        noisy = covariance + r2 * torch.eye(len(covariance))
        correction = covariance @ torch.linalg.solve(noisy, y.double()[..., None] - mean)
        return (mean + correction)[..., 0].to(y)

    return denoise


def gaussian_kl(m0: np.ndarray, c0: np.ndarray, m1: np.ndarray, c1: np.ndarray) -> float:
    """KL(N(m0, c0) ‖ N(m1, c1)), the textbook formula."""
    d, inverse = m1 - m0, np.linalg.inv(c1)
    logs = np.linalg.slogdet(c1)[1] - np.linalg.slogdet(c0)[1]
    return float(0.5 * (np.trace(inverse @ c0) + d @ inverse @ d - len(m0) + logs))


# ------------------------------------------------------------------------- the exact laws


def test_exact_denoiser_is_the_ideal_one_for_every_x() -> None:
    law = LinearTruth(small_model(PROBLEM)).given_x
    y, x = torch.randn(7, 2).double(), torch.randn(7, 5).double()
    for r in (0.01, 0.5, 20.0):
        found = law.denoise(y, torch.full((7, 1), r).double(), x)
        for i in range(7):
            ideal = ds.IdealDenoiser.gaussian(law.gain @ x[i], law.covariance)
            assert torch.allclose(found[i], ideal(y[i], r), atol=1e-10)


def test_squared_error_by_quadrature() -> None:
    """z ~ N(0, c) in one dimension: ∫∫ (z − D(y))² over z and y."""
    c, r = 0.3, 0.7
    law = GaussianGiven(torch.zeros(1, 1).double(), torch.tensor([[c]]).double())

    def integrand(eps: float, z: float) -> float:
        y = torch.tensor([[z + r * eps]]).double()
        guess = float(law.denoise(y, torch.tensor([[r]]).double(), torch.zeros(1, 1).double()))
        return (z - guess) ** 2 * stats.norm.pdf(z, 0, c**0.5) * stats.norm.pdf(eps)

    value, _ = integrate.dblquad(integrand, -4, 4, -6, 6, epsabs=1e-5)
    assert float(law.squared_error(torch.tensor([r]).double())) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("summary", ["joint", "pre-trained"])
@pytest.mark.parametrize("size", [1, 2])
def test_information_lost_three_ways(summary: str, size: int) -> None:
    """Log-determinants of the joint law; mean KL of two Gaussians; an integral of two errors."""
    model = linear_summary_model(PROBLEM, size, summary, seed=3, **SMALL)
    truth = LinearTruth(model)
    # (theta, x) in theta's own units; s = W x.
    a, prior = PROBLEM.matrix.double().numpy(), PROBLEM.prior_covariance.double().numpy()
    w = affine_map(model).numpy()
    x_cov = a @ prior @ a.T + PROBLEM.noise_sd**2 * np.eye(5)
    s_cov, with_s = w @ x_cov @ w.T, prior @ a.T @ w.T
    given_x = prior - prior @ a.T @ np.linalg.solve(x_cov, a @ prior)
    given_s = prior - with_s @ np.linalg.solve(s_cov, with_s.T)
    by_determinants = 0.5 * (np.linalg.slogdet(given_s)[1] - np.linalg.slogdet(given_x)[1])
    assert truth.information() == pytest.approx(by_determinants, abs=1e-5)
    assert 1e-5 < by_determinants < truth.total_information()

    x = np.random.default_rng(0).multivariate_normal(np.zeros(5), x_cov, size=4000)
    gain_x = prior @ a.T @ np.linalg.inv(x_cov)
    gain_s = with_s @ np.linalg.inv(s_cov) @ w
    kls = [gaussian_kl(gain_x @ row, given_x, gain_s @ row, given_s) for row in x]
    assert np.mean(kls) == pytest.approx(by_determinants, abs=5 * np.std(kls) / 4000**0.5)

    def rate(log_r: float) -> float:
        r = torch.tensor([math.exp(log_r)]).double()
        extra = truth.given_s.squared_error(r) - truth.given_x.squared_error(r)
        return float(extra / r**2)

    integral, _ = integrate.quad(rate, math.log(1e-4), math.log(1e4), limit=200)
    assert integral == pytest.approx(by_determinants, abs=1e-5)
    part, _ = integrate.quad(rate, math.log(0.1), math.log(3.0), limit=200)
    assert truth.information(0.1) - truth.information(3.0) == pytest.approx(part, abs=1e-6)


def test_a_complete_summary_loses_nothing() -> None:
    assert LinearTruth(small_model(PROBLEM)).information() == pytest.approx(0, abs=1e-9)
    whole = linear_summary_model(PROBLEM, 2, "pre-trained", **SMALL)
    assert 0 <= LinearTruth(whole).information() < 1e-3  # a regression on 20,000 simulations
    wide = linear_summary_model(PROBLEM, 9, "random", **SMALL)  # Var(s) is singular
    assert LinearTruth(wide).information() == pytest.approx(0, abs=1e-6)


def test_affine_map_is_found() -> None:
    model = linear_summary_model(PROBLEM, 2, seed=1, **SMALL)
    _, x = PROBLEM.sample(9, seed=5, device="cpu")
    with torch.no_grad():
        s = model.summarise(x)
    moved = (x[:, 0] - x[:1, 0]).double() @ affine_map(model).T
    assert torch.allclose(moved, (s - s[:1]).double(), atol=1e-5)


# --------------------------------------------------- decoders that are wrong in a known way

WRONG = {
    "mean": (torch.tensor([0.3, -0.2]).double(), 1.0),
    "too wide": (torch.zeros(2).double(), 2.0),
    "too narrow": (torch.zeros(2).double(), 0.6),
    "both": (torch.tensor([-0.1, 0.4]).double(), 1.5),
}


def wrong(kind: str) -> tuple[ds.ConditionalDiffusion, LinearTruth]:
    shift, scale = WRONG[kind]
    return model_with(lambda t: denoiser_of(t.given_x.gain, scale * t.given_x.covariance, shift))


def known_kl(truth: LinearTruth, kind: str, r: float) -> float:
    """KL between the two noised Gaussians, the same for every x."""
    shift, scale = WRONG[kind]
    c, noise = truth.given_x.covariance.numpy(), r**2 * np.eye(2)
    return gaussian_kl(np.zeros(2), c + noise, shift.numpy(), scale * c + noise)


@pytest.mark.parametrize("kind", WRONG)
def test_for_the_denoiser_of_one_law_the_bound_is_an_equality(kind: str) -> None:
    """Song et al.'s theorem 2: the integral from r to R is KL(r) − KL(R), nothing is lost."""
    model, truth = wrong(kind)
    found = kl_bound(model, n_sims=600, levels=48, seed=0)
    low, high = model.schedule.sigma_min, model.schedule.sigma_max
    exact = known_kl(truth, kind, low) - known_kl(truth, kind, high)
    tolerance = 5 * found.integral.error + 1e-3
    assert exact > 0.05
    assert found.integral.value == pytest.approx(exact, abs=tolerance)
    assert found.from_loss.value == pytest.approx(exact, abs=5 * found.from_loss.error + 1e-3)
    assert found.decoder.value == pytest.approx(exact, abs=tolerance)  # s = x: nothing is lost
    assert abs(found.information.value) < 1e-9
    # ODE, SDE and bound agree, but for the start.
    assert found.kl.value == pytest.approx(known_kl(truth, kind, low), abs=5e-3)
    assert found.sde.value == pytest.approx(known_kl(truth, kind, low), abs=5e-3)
    assert found.sde_gap.value > -5 * found.sde_gap.error - 2e-3
    assert found.gap.value == pytest.approx(0, abs=0.02)


def test_the_exact_decoder_has_no_integral() -> None:
    model, _ = model_with(
        lambda t: denoiser_of(t.given_x.gain, t.given_x.covariance, torch.zeros(2))
    )
    found = kl_bound(model, n_sims=300, seed=0)
    assert abs(found.integral.value) < 1e-6
    assert found.bound.value == pytest.approx(found.start.value, abs=1e-6)
    assert abs(found.kl.value) < 2e-3


def test_the_start_by_monte_carlo() -> None:
    model, truth = wrong("mean")
    model.schedule = ds.schedules.EDM(sigma_min=0.01, sigma_max=1.5)  # far too small
    found = kl_bound(model, n_sims=4000, kl=False, seed=0)
    points = truth.points(4000, 1)
    c, high = truth.given_x.covariance.numpy(), 1.5
    centres = model.denoiser(torch.zeros(4000, 2), torch.full((4000, 1), high),
                             model.summarise(points.x[:, None].float()))  # fmt: skip
    means = (points.x @ truth.given_x.gain.T).numpy()
    kls = [
        gaussian_kl(m, c + high**2 * np.eye(2), q, high**2 * np.eye(2))
        for m, q in zip(means, centres.double().numpy())
    ]
    assert found.start.value == pytest.approx(np.mean(kls), abs=5 * np.std(kls) / 4000**0.5)
    assert found.start.value > 0.04
    assert math.isnan(found.kl.value)


ONE = LinearGaussian(dim=1)


def drifting(size: float) -> tuple[ds.ConditionalDiffusion, float]:
    """D_q = D_p + size·r²/√(c + r²): no distribution has this denoiser. And c."""

    def build(truth: LinearTruth) -> Callable:
        c = truth.given_x.covariance
        exact = denoiser_of(truth.given_x.gain, c, torch.zeros(1))
        return lambda y, r, x: exact(y, r, x) + (size * r**2 / (float(c) + r**2).sqrt()).to(y)

    model, truth = model_with(build, ONE)
    return model, float(truth.given_x.covariance)


def test_the_bound_holds_for_the_sde_and_not_for_the_ode() -> None:
    """The honest part: means that drift, in closed form for both processes, variances exact.

    With δ(r) = a r²/√(c + r²) the ODE's mean ends a√c (ln √((c + R²)/(c + r0²)) + 1) off, nearly,
    and the SDE's 2a√c; the integral is a² ln √((c + R²)/(c + r0²)).
    """
    size = 0.5
    model, c = drifting(size)
    found = kl_bound(model, n_sims=300, levels=64, seed=0)
    low, high = model.schedule.sigma_min, model.schedule.sigma_max
    length = 0.5 * math.log((c + high**2) / (c + low**2))
    assert found.integral.value == pytest.approx(size**2 * length, abs=0.005)

    def end_of_mean(pull: float) -> float:
        """dm/dλ = pull·(m r²/(c + r²) − δ), from the start's m = δ(R) down: 1 ODE, 2 SDE."""

        def slope(log_r: float, m: np.ndarray) -> np.ndarray:
            r2 = math.exp(2 * log_r)
            return pull * (m * r2 / (c + r2) - size * r2 / math.sqrt(c + r2))

        start = size * high**2 / math.sqrt(c + high**2)
        ends = math.log(high), math.log(low)
        return float(integrate.solve_ivp(slope, ends, [start], rtol=1e-8).y[0, -1])

    ode, sde = (end_of_mean(pull) ** 2 / (2 * c) for pull in (1.0, 2.0))
    assert found.kl.value == pytest.approx(ode, abs=0.01)  # log_prob measures the ODE
    assert found.sde.value == pytest.approx(sde, abs=0.01)  # affine: its moments are exact
    assert sde < found.bound.value < ode
    assert found.gap.value < 0 < found.sde_gap.value
    assert sde == pytest.approx(2 * size**2, abs=0.02)


def test_early_in_training_the_ode_can_lie_above_the_bound() -> None:
    """Small, but many standard errors: a fact about a real network, ten steps old."""
    model = linear_summary_model(
        LinearGaussian(3, 8),
        2,
        "pre-trained",
        schedule=ds.schedules.EDM(sigma_min=0.01, sigma_max=10.0),
        width=48,
        depth=2,
        device="cpu",
    )
    (found,) = follow_bound(model, 300, (8,), n_sims=1000, batch_size=256, seed=0).bounds
    assert found.gap.value < -5 * found.gap.error
    assert found.sde_gap.value > 5 * found.sde_gap.error


@pytest.mark.parametrize("sde", [True, False])
def test_linearised_law_against_a_fine_simulation(sde: bool) -> None:
    """An affine D that no law has: 40,000 paths by a first-order scheme of 1,000 steps."""

    def denoise(y: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        return 0.3 + (y - 0.3) / (1 + 2 * r**2 - r / 2) + 0.2 * r**2 / (1 + r**2)

    mean, covariance = linearised_law(denoise, torch.zeros(1, 1), 0.05, 4.0, sde=sde, steps=64)
    generator = torch.Generator().manual_seed(0)
    ratios = torch.logspace(math.log10(4.0), math.log10(0.05), 1001)
    y = denoise(torch.zeros(40_000, 1), ratios[0])
    y = y + ratios[0] * torch.randn(y.shape, generator=generator)
    for now, then in zip(ratios[:-1], ratios[1:]):
        pull = 2.0 if sde else 1.0
        y = y + pull * (then - now) / now * (y - denoise(y, now))
        if sde:
            y = y + (now**2 - then**2).sqrt() * torch.randn(y.shape, generator=generator)
    assert float(mean) == pytest.approx(float(y.mean()), abs=0.02)
    assert float(covariance) == pytest.approx(float(y.var()), rel=0.05)


# ----------------------------------------------------------------------------- whole models


@pytest.fixture(scope="module")
def trained() -> ds.ConditionalDiffusion:
    model = linear_summary_model(PROBLEM, 1, seed=0, width=24, depth=1, device="cpu")
    ds.fit(model, 150, batch_size=128, seed=0, progress=False)
    return model


@pytest.fixture(scope="module")
def found(trained: ds.ConditionalDiffusion) -> KLBound:
    return kl_bound(trained, n_sims=1000, seed=0)


def test_the_parts_add_up(found: KLBound) -> None:
    """Pythagoras, and the same integral from the loss alone."""
    parts = found.information.value + found.decoder.value
    error = math.hypot(found.information.error, found.decoder.error)
    assert parts == pytest.approx(found.integral.value, abs=5 * (error + found.integral.error))
    assert found.information.value == pytest.approx(
        found.exact_information, abs=5 * found.information.error
    )
    both = 5 * math.hypot(found.integral.error, found.from_loss.error)
    assert found.from_loss.value == pytest.approx(found.integral.value, abs=both)
    assert min(found.information.value, found.decoder.value) > 10 * found.integral.error
    # The densities are the parts, before they are added up.
    cell = math.log(20 / 0.001) / len(found.ratios)
    assert float(found.information_density.sum()) * cell == pytest.approx(found.information.value)
    assert float(found.decoder_density.sum()) * cell == pytest.approx(found.decoder.value)


def test_bound_above_kl_above_information(found: KLBound) -> None:
    assert found.gap.value > 3 * found.gap.error
    assert found.sde_gap.value > 3 * found.sde_gap.error
    assert found.kl.value > found.exact_information - 3 * found.kl.error


def test_kl_is_the_log_scores(trained: ds.ConditionalDiffusion, found: KLBound) -> None:
    """`log_score` averages log p − log q plainly, in theta's units, at r = 0."""
    plain = log_score(trained, PROBLEM, n_sims=2000, seed=1)
    errors = math.hypot(plain.standard_error, found.kl.error)
    assert plain.kl == pytest.approx(found.kl.value, abs=5 * errors)
    assert found.kl.error < plain.standard_error / 1.5, "with half the simulations"


def test_untrained_the_model_is_the_prior() -> None:
    """The F prediction's zero output is the prior's denoiser: bound and KL are I(theta; x)."""
    model = linear_summary_model(PROBLEM, 2, **SMALL)
    found = kl_bound(model, n_sims=600, seed=0)
    exact = LinearTruth(model).total_information()
    assert found.bound.value == pytest.approx(exact, abs=5 * found.bound.error + 0.01)
    assert found.kl.value == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("summary", ["joint", "random", "pre-trained"])
def test_following_changes_nothing(summary: str) -> None:
    settings = {"batch_size": 64, "seed": 1}
    models = [linear_summary_model(PROBLEM, 1, summary, seed=2, **SMALL) for _ in range(2)]
    before = models[0].encoder[1].weight.clone()  # type: ignore[index]
    history = follow_bound(models[0], 12, (12, 0, 5, 5), n_sims=200, levels=8, **settings)
    ds.fit(models[1], 12, progress=False, **settings)
    for a, b in zip(models[0].parameters(), models[1].parameters()):
        assert torch.equal(a, b)
    moved = not torch.equal(before, models[0].encoder[1].weight)  # type: ignore[index]
    assert moved == (summary == "joint")
    assert history.steps == (0, 5, 12)
    columns = history.columns()
    assert {len(column) for column in columns.values()} == {3}
    assert columns["information"][0] > 0
    change = max(columns["information"]) - min(columns["information"])
    assert (change < 1e-9) == (summary != "joint")
    assert history.summary()["step"] == 12


def test_regression_prefers_what_varies_most() -> None:
    """One summary for two separate parameters, one large and vague, one small and sharp."""
    problem = LinearGaussian(
        2, matrix=[[0.1, 0.0], [0.0, 5.0]], prior_covariance=[[25.0, 0.0], [0.0, 1.0]]
    )
    model = linear_summary_model(problem, 1, "pre-trained", **SMALL)
    large, sharp = 0.5 * math.log(1 + 0.1**2 * 25 / 0.25), 0.5 * math.log(1 + 25 / 0.25)
    assert large < 0.5 < 2 < sharp  # nats that x 1 and x 2 carry
    assert LinearTruth(model).information() == pytest.approx(sharp, abs=0.02)  # x 1 was kept


def test_less_noise_keeps_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(4000, 3, generator=generator).double()
    values = torch.stack([u[:, 0].exp(), (u[:, 0] - 2 * u[:, 1] + 1) ** 2], -1)
    less = less_noise(values, u)
    error = less.std(0) / 4000**0.5
    assert abs(float(less[:, 0].mean()) - math.exp(0.5)) < 5 * float(error[0])
    assert float(less[:, 0].std()) < 0.6 * float(values[:, 0].std())
    assert torch.allclose(less[:, 1], torch.full((4000,), 6.0).double(), atol=1e-9)


# -------------------------------------------------------------------------------- figures


def test_figures(found: KLBound) -> None:
    (ax,) = found.plot(title="parts").axes
    assert ax.get_xlabel() == "noise-to-signal ratio r"
    assert "nats" in ax.get_ylabel()
    assert ax.get_legend() is not None
    figure = ds.plots.base.new_figure(6, 3)
    left, right = figure.subplots(1, 2, sharey=True)
    found.plot(ax=left)
    r, one = found.ratios, torch.ones(len(found.ratios))
    ds.plots.bound_parts(r, 5 * one, one, ax=right, legend=False)
    assert right.get_legend() is None
    assert left.get_ylim()[0] == 0
    assert left.get_ylim()[1] > 6, "panels that share an axis both fit on it"
    run = {"step": [0, 10], "bound": [2.0, 0.5], "kl": [1.9, 0.4], "information": [0.1, 0.0]}
    figure = ds.plots.bound_history({"joint": run, "random": run})
    assert [a.get_title() for a in figure.axes] == ["joint", "random"]
    assert "nats" in figure.axes[0].get_ylabel()
    assert figure.axes[1].get_xlabel() == "training step"
    again = ds.plots.bound_history({"joint": run, "random": run}, figure=figure)
    assert len(again.axes) == 2
    with pytest.raises(ValueError, match="at least one history"):
        ds.plots.bound_history({"joint": run | {"kl": [1.0]}})
    with pytest.raises(ValueError, match="as many information and decoder"):
        ds.plots.bound_parts(torch.ones(3), torch.ones(3), torch.ones(2))


# --------------------------------------------------------------------------------- errors


def test_problems_without_a_closed_form() -> None:
    for problem in (ds.problems.TwoMoons(), ds.problems.Gaussian2D()):
        with pytest.raises(TypeError, match=r"Gaussian posterior.*LinearGaussian"):
            kl_bound(small_model(problem))
    flow = ds.ConditionalFlow(PROBLEM, flow="maf", width=8, depth=1, device="cpu", seed=0)
    with pytest.raises(TypeError, match="ConditionalDiffusion"):
        kl_bound(flow)  # type: ignore[arg-type]


def test_a_summary_that_bends() -> None:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(5, 2), nn.Tanh())
    model = ds.ConditionalDiffusion(PROBLEM, encoder, **SMALL)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"not an affine function.*Linear"):
        kl_bound(model)


def test_impossible_requests() -> None:
    model = linear_summary_model(PROBLEM, 1, **SMALL)
    with pytest.raises(ValueError, match="n_sims must be at least 110 for 2 parameters and 5"):
        kl_bound(model, n_sims=109)
    with pytest.raises(ValueError, match="levels must be at least 2"):
        kl_bound(model, levels=1)
    with pytest.raises(ValueError, match="ode_steps must be at least 1"):
        kl_bound(model, ode_steps=0)
    for at in ((), (-1,), (0, 11)):
        with pytest.raises(ValueError, match="at must hold steps from 0 to 10"):
            follow_bound(model, 10, at)
    with pytest.raises(ValueError, match="bound_seed must be a number"):
        follow_bound(model, 10, (0,), bound_seed=None)
    with pytest.raises(ValueError, match="unknown summary 'jiont'; did you mean 'joint'"):
        linear_summary_model(PROBLEM, 1, "jiont")
    with pytest.raises(ValueError, match="at most D = 2 for a regression"):
        linear_summary_model(PROBLEM, 3, "pre-trained")
    with pytest.raises(ValueError, match="out_features must be a whole number"):
        linear_summary_model(PROBLEM, 0)
