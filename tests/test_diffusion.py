"""`ConditionalDiffusion`: losses, samples and densities against closed forms; units; files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from references import (
    KS_ALPHA,
    box_problem,
    grid_2d,
    ideal_gaussian_model,
    normal_problem,
    small_model,
)
from scipy import integrate, stats
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Uniform

import diffsbi_edu as ds
from diffsbi_edu import ConditionalDiffusion, Problem, fit, problems
from diffsbi_edu.denoiser import PREDICTIONS
from diffsbi_edu.runtime import make_generator
from diffsbi_edu.samplers import SAMPLERS
from diffsbi_edu.schedules import SCHEDULES, Cosine, LogNormal


class Mean(nn.Module):
    """A summary network of a user: features of the mean, for any N."""

    def __init__(self, features: int = 2, out: int = 5) -> None:
        super().__init__()
        self.layer = nn.Linear(features, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).mean(1)  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------ the loss


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_loss_is_finite_and_reaches_every_weight(prediction: str, schedule: str) -> None:
    model = small_model(prediction=prediction, schedule=schedule, encoder=Mean())
    theta, x = model.problem.sample(64, seed=0, device="cpu")
    with torch.no_grad():  # zero layers would hide the gradient of those before them
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=make_generator(0)))
    loss = model.loss(theta, x, generator=make_generator(0))
    assert loss.ndim == 0
    loss.backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all()
        assert p.grad.abs().sum() > 0, name
    assert float(model.loss(theta, x).detach()) > 0


@pytest.mark.statistical
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_loss_of_the_ideal_denoiser_is_the_least_possible(prediction: str) -> None:
    """For z | x ~ N(m, C) the least loss is E_r[w(r)² tr Cov(z | y)]/D, with Cov by hand.

    w(r) is what one unit of error in z weighs in the prediction. E over ln r by quadrature.
    """
    model, problem = ideal_gaussian_model()
    closed = model.denoiser.network
    covariance = closed.covariance.double()
    eigen = torch.linalg.eigvalsh(covariance).numpy()
    schedule = Cosine(sigma_min=0.05, sigma_max=10.0, training=LogNormal(-0.5, 0.7))
    model.schedule = schedule
    weight = {
        "z": lambda r: 1.0,
        "eps": lambda r: 1 / r,
        "v": lambda r: math.sqrt(1 + r**2) / r,
        "F": lambda r: math.sqrt(1 + r**2) / r,
    }[prediction]

    def integrand(log_r: float) -> float:
        r = math.exp(log_r)
        left = np.mean(eigen * r**2 / (eigen + r**2))
        return float(stats.norm.pdf(log_r, -0.5, 0.7) * weight(r) ** 2 * left)

    least = integrate.quad(integrand, -6, 5)[0]

    class Converted(nn.Module):
        """The closed-form guess of z, as the network output of another prediction."""

        def forward(
            self, scaled: torch.Tensor, level: torch.Tensor, s: torch.Tensor
        ) -> torch.Tensor:
            z, r = closed(scaled, level, s), (4 * level).exp()
            y = scaled * (1 + r**2).sqrt()
            eps = (y - z) / r
            v = (eps - r * z) / (1 + r**2).sqrt()
            return {"z": z, "eps": eps, "v": v, "F": -v}[prediction]

    model.denoiser.network = Converted()
    model.denoiser.prediction = prediction
    n = 200_000
    theta, x = problem.sample(n, seed=0, device="cpu")
    with torch.no_grad():
        loss = float(model.loss(theta, x, generator=make_generator(1)))
    assert loss == pytest.approx(least, rel=0.03)
    untrained = small_model(problem, prediction=prediction, schedule=schedule)
    with torch.no_grad():
        assert float(untrained.loss(theta, x, generator=make_generator(1))) > 1.15 * least


# ---------------------------------------------------------------------------------- the samples


@pytest.mark.statistical
@pytest.mark.parametrize("sampler", ["dpm_solver_2m", "heun", "euler_maruyama"])
def test_an_ideal_network_draws_the_exact_posterior(sampler: str) -> None:
    model, problem = ideal_gaussian_model()
    steps = 1000 if sampler == "euler_maruyama" else 60
    for x in ([[0.3, -0.4]], [[-1.5, 2.0]]):
        x_obs = torch.tensor(x)
        samples = model.sample(x_obs, 10_000, seed=0, sampler=sampler, steps=steps).double()
        exact = problem.posterior(x_obs)
        white = (samples - exact.mean) @ torch.linalg.cholesky(exact.covariance.inverse())
        for column in white.T:
            assert stats.kstest(column.numpy(), stats.norm.cdf).pvalue > KS_ALPHA
        assert stats.kstest(white.square().sum(1).numpy(), stats.chi2(2).cdf).pvalue > KS_ALPHA


@pytest.mark.statistical
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_network_gone_wild_draws_nonsense_but_finite_nonsense(sampler: str) -> None:
    """Guesses that feed on one another would overflow: y, then 7 y, then 49 y, …"""
    model = small_model().standardise()
    model.denoiser.forward = lambda y, ratio, s: -70.0 * y  # type: ignore[method-assign]
    draws = model.sample(torch.zeros(1, 2), 500, seed=0, sampler=sampler)
    assert torch.isfinite(draws).all()


def test_no_guess_of_a_sound_network_is_out_of_reach() -> None:
    for problem in (problems.Gaussian2D(), problems.NormalGamma(n_obs=1)):
        model = ConditionalDiffusion(problem, width=8, depth=1, device="cpu", seed=0).standardise()
        z = model.to_latent(problem.sample_prior(100_000, seed=1, device="cpu"))
        assert bool((z.abs().amax(0) < model.to_latent.reach).all())


def test_a_batch_of_data_sets_gives_each_its_own_posterior() -> None:
    """Axes in the right order: sample first, data set second, and no data set sees another's x."""
    model, problem = ideal_gaussian_model()
    x = torch.tensor([[[2.0, 2.0]], [[-2.0, 0.0]], [[0.0, -1.0]]])
    samples = model.sample(x, 4000, seed=0, steps=40)
    assert samples.shape == (4000, 3, 2)
    for b in range(3):
        exact = problem.posterior(x[b])
        sd = exact.covariance.diagonal().sqrt()
        gap = (samples[:, b].double().mean(0) - exact.mean) / sd
        assert gap.abs().max() < 5 / 4000**0.5
        single = model.sample(x[b], 4000, seed=1, steps=40)
        for axis in range(2):
            pair = samples[:, b, axis].numpy(), single[:, axis].numpy()
            assert stats.ks_2samp(*pair).pvalue > KS_ALPHA
    steps = list(model.trajectory(x, 5, steps=4, seed=0))
    assert len(steps) == 5
    assert steps[0].y.shape == (5, 3, 2)
    drawn = model.to_latent.inverse(steps[-1].y)
    assert torch.equal(drawn, model.sample(x, 5, steps=4, seed=0))


def test_shapes() -> None:
    model = small_model(problems.Gaussian2D(3))
    one, many = torch.randn(3, 2), torch.randn(4, 3, 2)
    assert model.sample(one, 7, steps=2).shape == (7, 2)
    assert model.sample(many, 7, steps=2).shape == (7, 4, 2)
    assert model.sample(many[:1], 7, steps=2).shape == (7, 1, 2)
    assert model.sample(one.numpy(), 7, steps=2).shape == (7, 2)
    theta = torch.randn(6, 5, 2)
    assert model.log_prob(theta, one, steps=2).shape == (6, 5)
    assert model.log_prob(theta[0, 0], one, steps=2).shape == ()
    assert model.log_prob(theta[0], many[:1].expand(5, -1, -1), steps=2).shape == (5,)
    assert model.log_prob(theta, many[:1].expand(5, -1, -1), steps=2).shape == (6, 5)
    assert model.denoise(torch.randn(9, 2), 0.5, one).shape == (9, 2)
    assert model.score(torch.randn(9, 2), torch.tensor(0.5), one).shape == (9, 2)
    vector = small_model(problems.TwoMoons())
    assert torch.equal(
        vector.sample(torch.zeros(2), 3, seed=0), vector.sample(torch.zeros(1, 2), 3, seed=0)
    )


def test_chunks_change_memory_and_not_results(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(problems.TwoMoons())
    x = torch.zeros(3, 1, 2)
    whole = model.sample(x, 50, seed=0, steps=5)
    theta = 0.5 * torch.randn(40, 3, 2)
    density = model.log_prob(theta, x, steps=3)
    monkeypatch.setattr("diffsbi_edu.diffusion.ROWS_AT_ONCE", 24)
    parts = model.sample(x, 50, seed=0, steps=5)
    assert parts.shape == whole.shape
    assert torch.equal(parts, model.sample(x, 50, seed=0, steps=5))
    assert len(torch.unique(parts[:, 0], dim=0)) == 50  # chunks do not repeat their noise
    assert torch.allclose(model.log_prob(theta, x, steps=3), density, atol=1e-4)


def test_score_is_tweedies_formula() -> None:
    model, problem = ideal_gaussian_model()
    x_obs = torch.tensor([[0.5, 1.0]])
    exact = problem.posterior(x_obs)
    whiten = torch.linalg.cholesky(problem.prior_covariance.double()).inverse()
    noised = whiten @ exact.covariance @ whiten.T + 0.49 * torch.eye(2)
    y = torch.randn(20, 2, dtype=torch.float64, requires_grad=True)
    normal = MultivariateNormal(whiten @ exact.mean, noised)
    (expected,) = torch.autograd.grad(normal.log_prob(y).sum(), y)
    score = model.score(y.detach().float(), 0.7, x_obs)
    assert torch.allclose(score.double(), expected, atol=1e-3)


# ---------------------------------------------------------------------------------- the density


def test_log_prob_of_an_ideal_network_is_exact() -> None:
    model, problem = ideal_gaussian_model()
    for x in ([[0.3, -0.4]], [[-1.5, 2.0]]):
        exact = problem.posterior(torch.tensor(x))
        theta = exact.sample((200,), seed=0)
        log_q = model.log_prob(theta, torch.tensor(x), steps=64)
        assert (log_q - exact.log_prob(theta)).abs().max() < 5e-3
        assert (log_q - exact.log_prob(theta)).abs().mean() < 1e-3
    x = torch.tensor([[[0.3, -0.4]], [[-1.5, 2.0]]])
    theta = torch.stack([problem.posterior(x[b]).sample((50,), seed=b) for b in range(2)], 1)
    log_q = model.log_prob(theta, x)
    for b in range(2):
        assert (log_q[:, b] - problem.posterior(x[b]).log_prob(theta[:, b])).abs().max() < 5e-3


@pytest.mark.statistical
def test_hutchinsons_divergence_is_unbiased_and_random() -> None:
    model, _ = ideal_gaussian_model()
    x, theta = torch.tensor([[0.3, -0.4]]), torch.tensor([0.1, 0.2])
    exact = model.log_prob(theta, x)
    repeated = theta.expand(2000, 2)
    estimates = model.log_prob(repeated, x, divergence="hutchinson", seed=0)
    assert float(estimates.std()) > 0.05
    error = float(estimates.mean() - exact)
    assert abs(error) < 4.5 * float(estimates.std()) / 2000**0.5
    assert torch.equal(estimates, model.log_prob(repeated, x, divergence="hutchinson", seed=0))
    high = small_model(normal_problem(17))
    point = torch.zeros(5, 17)
    auto = high.log_prob(point, torch.zeros(1, 17), steps=2)
    assert torch.equal(
        auto, high.log_prob(point, torch.zeros(1, 17), steps=2, divergence="hutchinson")
    )


def test_density_of_a_trained_model_is_normalised() -> None:
    """Over the whole box of a bounded prior, by the midpoint rule; −inf outside."""
    model = small_model(box_problem(), width=32)
    fit(model, steps=300, batch_size=256, seed=0, progress=False)
    x = torch.tensor([[0.6, -0.9]])
    grid, area = grid_2d([-1.0, -1.0], [1.0, 1.0], 60)
    density = model.log_prob(grid.float(), x, steps=24).double().exp()
    assert float(density.sum() * area) == pytest.approx(1, abs=0.02)
    samples = model.sample(x, 20_000, seed=0, steps=30).double()
    mean = (grid * density[:, None]).sum(0) * area
    assert torch.allclose(samples.mean(0), mean, atol=0.02)
    outside = torch.tensor([[1.01, 0.0], [0.0, -7.0], [math.nan, 0.0], [0.5, 0.5]])
    log_q = model.log_prob(outside, x)
    assert torch.isneginf(log_q[:3]).all()
    assert log_q[3].isfinite()


# ------------------------------------------------------------------------------------ the units


def scaled_problem(theta_scale: float, x_scale: float, prior: str = "uniform") -> Problem:
    low = torch.tensor([-1.0, 0.5]) * theta_scale
    high = torch.tensor([2.0, 1.0]) * theta_scale
    chosen = {
        "uniform": Independent(Uniform(low, high), 1),
        "normal": MultivariateNormal(
            theta_scale * torch.ones(2), theta_scale**2 * torch.tensor([[1.0, 0.3], [0.3, 0.5]])
        ),
        "gamma": Independent(
            torch.distributions.Gamma(torch.full((2,), 3.0), torch.full((2,), 1 / theta_scale)), 1
        ),
    }[prior]

    def simulator(theta: torch.Tensor) -> torch.Tensor:
        unit = theta / theta_scale
        return x_scale * (unit + 0.3 * torch.randn_like(unit))

    return Problem(chosen, simulator)


@pytest.mark.parametrize("prior", ["uniform", "normal", "gamma"])
@pytest.mark.parametrize("how", ["online", "fixed data"])
def test_rescaling_theta_or_x_changes_nothing_but_the_units(prior: str, how: str) -> None:
    """Powers of two are exact in floating point, so training itself must be the same."""
    made = {}
    for scales in ((1.0, 1.0), (2.0**12, 1.0), (1.0, 2.0**-12), (2.0**-9, 2.0**15)):
        problem = scaled_problem(*scales, prior=prior)
        model = small_model(problem, seed=3)
        data = problem.sample(300, seed=8, device="cpu") if how == "fixed data" else None
        history = fit(model, steps=30, batch_size=64, seed=1, data=data, progress=False)
        x_obs = scales[1] * torch.tensor([[0.9, 0.8]])
        samples = model.sample(x_obs, 200, seed=2)
        log_q = model.log_prob(samples, x_obs, steps=8)
        made[scales] = (history.losses, samples / scales[0], log_q + 2 * math.log(scales[0]))
    reference = made.pop((1.0, 1.0))
    for losses, samples, log_q in made.values():
        assert np.allclose(losses, reference[0], rtol=1e-3)
        assert torch.allclose(samples, reference[1], rtol=1e-2, atol=1e-3)
        assert torch.allclose(log_q, reference[2], atol=2e-2)


def test_shifting_changes_nothing_but_the_origin() -> None:
    made = []
    for shift in (0.0, 4.0, -16.0):
        box = Uniform(torch.full((2,), shift - 1.0), torch.full((2,), shift + 1.0))
        problem = Problem(
            Independent(box, 1),
            lambda theta, shift=shift: theta - shift + 64.0 + 0.25 * torch.randn_like(theta),
        )
        model = small_model(problem, seed=3)
        losses = fit(model, steps=30, batch_size=64, seed=1, progress=False).losses
        made.append((losses, model.sample(torch.tensor([[64.5, 63.5]]), 100, seed=2) - shift))
    for losses, samples in made[1:]:
        assert np.allclose(losses, made[0][0], rtol=1e-2)
        assert torch.allclose(samples, made[0][1], atol=1e-2)


def test_without_standardisation_this_would_fail() -> None:
    """The control: a model whose units are wrong by 1000 learns something else."""
    losses = []
    for scale in (1.0, 1000.0):
        model = small_model(scaled_problem(1.0, 1.0), seed=3).standardise(seed=0)
        model.standardise_x.scale.mul_(scale)
        losses.append(fit(model, steps=30, batch_size=64, seed=1, progress=False).losses)
    assert not np.allclose(*losses, rtol=1e-3)


def test_units_are_set_once() -> None:
    model = small_model(scaled_problem(3.0, 5.0, "gamma"))
    assert not model.is_standardised
    fit(model, steps=1, seed=0, progress=False)
    before = model.standardise_x.scale.clone(), model.to_latent.standardise.scale.clone()
    assert bool(model.is_standardised)
    fit(model, steps=1, seed=1, progress=False)
    model.sample(torch.zeros(1, 2), 1)
    assert torch.equal(before[0], model.standardise_x.scale)
    assert torch.equal(before[1], model.to_latent.standardise.scale)
    lazy = small_model(scaled_problem(3.0, 5.0))
    assert torch.equal(
        lazy.sample(torch.zeros(1, 2), 3, seed=0), lazy.sample(torch.zeros(1, 2), 3, seed=0)
    )
    assert bool(lazy.is_standardised)


# ---------------------------------------------------------------------------------- the encoder


def test_random_n_obs_with_an_encoder() -> None:
    problem = problems.Gaussian2D((1, 20))
    model = small_model(problem, encoder=Mean())
    history = fit(model, steps=10, batch_size=64, seed=0, progress=False)
    assert np.isfinite(history.losses).all()
    for n in (1, 7, 100):
        assert model.sample(torch.randn(n, 2), 5, steps=3).shape == (5, 2)
        assert model.sample(torch.randn(3, n, 2), 5, steps=3).shape == (5, 3, 2)


def test_the_encoder_sees_standardised_data() -> None:
    seen = []

    class Spy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x.mean(1)

    problem = scaled_problem(7.0, 900.0)
    model = small_model(problem, encoder=Spy()).standardise(seed=0)
    seen.clear()
    model.loss(*problem.sample(5000, seed=1, device="cpu"))
    assert seen[0].mean((0, 1)).abs().max() < 0.1
    assert (seen[0].std((0, 1)) - 1).abs().max() < 0.1


def test_construction_does_not_move_an_encoders_state() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(x.mean(1))  # type: ignore[no-any-return]

    encoder = Normed()
    model = small_model(encoder=encoder)
    assert int(encoder.norm.num_batches_tracked) == 0
    assert not model.training
    assert not encoder.training


def test_prediction_and_repr() -> None:
    for prediction in PREDICTIONS:
        model = small_model(prediction=prediction, sigma_data=0.7)
        assert model.settings()["prediction"] == prediction
        assert model.settings()["sigma_data"] == 0.7
    assert "ConditionalDiffusion" in repr(model)
    twin = model.training_copy()
    assert twin.training
    assert not model.training
    model.schedule = "Cosine"
    assert isinstance(twin.schedule, Cosine)  # replaced under way, too


# ------------------------------------------------------------------------------ saving, loading


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("problem", ["gaussian_2d", "two_moons", "gaussian_mixture_2d"])
def test_a_loaded_model_draws_the_same_samples(tmp_path: Path, schedule: str, problem: str) -> None:
    model = small_model(problems.get(problem), schedule=schedule, prediction="v", sigma_data=0.9)
    fit(model, steps=3, batch_size=32, seed=0, progress=False)
    model.save(tmp_path / "model.safetensors")
    again = ds.load(tmp_path / "model.safetensors", device="cpu")
    assert isinstance(again, ConditionalDiffusion)
    x = torch.tensor([[0.1, 0.2]])
    samples = model.sample(x, 100, seed=1)
    assert torch.equal(samples, again.sample(x, 100, seed=1))
    assert torch.equal(model.log_prob(samples, x, steps=3), again.log_prob(samples, x, steps=3))
    assert again.schedule == model.schedule
    assert again.settings() == model.settings()
    assert repr(again.problem) == repr(model.problem)


def test_custom_problems_and_encoders_are_handed_over(tmp_path: Path) -> None:
    problem = box_problem()
    model = small_model(problem, encoder=Mean())
    fit(model, steps=3, batch_size=32, seed=0, progress=False)
    path = tmp_path / "mine.safetensors"
    model.save(path)
    again = ds.load(path, problem=problem, encoder=Mean(), device="cpu")
    x = torch.tensor([[0.1, 0.2], [0.3, -0.2]])
    assert torch.equal(model.sample(x, 20, seed=1), again.sample(x, 20, seed=1))
    with pytest.raises(ValueError, match="pass encoder="):
        ds.load(path, problem=problem)
    with pytest.raises(ValueError, match=r"'box'.*pass problem="):
        ds.load(path, encoder=Mean())


def test_tied_weights_can_be_saved(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.second = nn.Linear(2, 2)
            self.second.weight = self.first.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x).relu()).mean(1)  # type: ignore[no-any-return]

    model = small_model(encoder=Tied())
    fit(model, steps=2, batch_size=16, seed=0, progress=False)
    assert model.encoder.first.weight is model.encoder.second.weight
    model.save(tmp_path / "tied.safetensors")
    again = ds.load(
        tmp_path / "tied.safetensors", problem=model.problem, encoder=Tied(), device="cpu"
    )
    x = torch.zeros(1, 2)
    assert torch.equal(model.sample(x, 5, seed=0), again.sample(x, 5, seed=0))
