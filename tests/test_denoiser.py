"""The denoiser: four predictions that agree, EDM's coefficients, the ideal denoiser's formulas."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import midpoints
from torch import nn
from torch.distributions import MultivariateNormal

import diffsbi_edu as ds
from diffsbi_edu import IdealDenoiser
from diffsbi_edu.denoiser import PREDICTIONS, Denoiser, ResidualNetwork
from diffsbi_edu.runtime import make_generator, randomness_from

over_predictions = pytest.mark.parametrize("prediction", PREDICTIONS)


class Constant(nn.Module):
    """A network that answers with a fixed tensor and remembers what it was asked."""

    def __init__(self, out: torch.Tensor) -> None:
        super().__init__()
        self.out = out

    def forward(self, scaled: torch.Tensor, level: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        self.asked = scaled, level, s
        return self.out


def network(latent: int = 3, summary: int = 4, **settings: int) -> ResidualNetwork:
    settings = {"width": 16, "depth": 2} | settings
    with randomness_from(make_generator(0)):
        made = ResidualNetwork(latent, summary, **settings)
        for p in made.parameters():
            nn.init.normal_(p, std=0.3)
    return made


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    prediction=st.sampled_from(PREDICTIONS),
    log_ratio=st.floats(-7, 4),
    sigma_data=st.floats(0.2, 3.0),
    seed=st.integers(0, 2**31),
)
def test_the_target_stands_for_the_clean_latent(
    prediction: str, log_ratio: float, sigma_data: float, seed: int
) -> None:
    """clean(target(z, eps), z + r eps) is z, at every noise level; and a perfect network scores."""
    generator = torch.Generator().manual_seed(seed)
    z, eps = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    ratio = torch.full((5, 1), math.exp(log_ratio), dtype=torch.float64)
    denoiser = Denoiser(Constant(z), prediction, sigma_data)
    target = denoiser.target(z, eps, ratio)
    y = z + ratio * eps
    assert torch.allclose(denoiser.clean(target, y, ratio), z, atol=1e-8)
    denoiser.network.out = target
    assert torch.allclose(denoiser(y, ratio, z), z, atol=1e-8)


def test_targets_by_their_definitions() -> None:
    generator = torch.Generator().manual_seed(0)
    z, eps = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    ratio = torch.logspace(-3, 2, 50, dtype=torch.float64)[:, None]
    made = {p: Denoiser(Constant(z), p).target(z, eps, ratio) for p in PREDICTIONS}
    phi = torch.atan(ratio)
    assert torch.equal(made["eps"], eps)
    assert torch.equal(made["z"], z)
    assert torch.allclose(made["v"], torch.cos(phi) * eps - torch.sin(phi) * z)
    assert torch.allclose(made["F"], -made["v"])  # two papers, one idea, for sigma_data = 1
    # Karras et al. (2022), table 1, with d = 0.5: all coefficients spelled out.
    d, r = 0.5, ratio
    c_skip = d**2 / (r**2 + d**2)
    c_out = r * d / torch.sqrt(r**2 + d**2)
    half = Denoiser(Constant(z), "F", d)
    assert torch.allclose(half.target(z, eps, ratio), (z - c_skip * (z + r * eps)) / c_out)
    assert torch.allclose(half.clean(eps, z, ratio), c_skip * z + c_out * eps)


def test_input_scaling_and_noise_embedding() -> None:
    probe = Constant(torch.zeros(4, 2))
    y, s = torch.randn(4, 2, generator=make_generator(0)), torch.randn(4, 3)
    ratio = torch.tensor([[0.01], [0.5], [1.0], [20.0]])
    Denoiser(probe, "F", 0.5)(y, ratio, s)
    scaled, level, told = probe.asked
    assert torch.allclose(scaled, y / torch.sqrt(ratio**2 + 0.25))
    assert torch.allclose(level, torch.log(ratio) / 4)
    assert told is s


def test_targets_of_f_have_unit_variance_at_every_level() -> None:
    """What the preconditioning is for: z of sd sigma_data makes inputs and targets of sd 1."""
    generator = torch.Generator().manual_seed(0)
    z = 0.5 * torch.randn(100_000, 1, generator=generator)
    eps = torch.randn(100_000, 1, generator=generator)
    denoiser = Denoiser(Constant(z), "F", 0.5)
    for r in (0.001, 0.1, 0.5, 3.0, 50.0):
        ratio = torch.full((100_000, 1), r)
        assert float(denoiser.target(z, eps, ratio).std()) == pytest.approx(1, abs=0.02)
        denoiser.output(z + ratio * eps, ratio, z)
        assert float(denoiser.network.asked[0].std()) == pytest.approx(1, abs=0.02)


@over_predictions
def test_an_untrained_network_outputs_zero(prediction: str) -> None:
    denoiser = Denoiser(ResidualNetwork(3, 4, width=16, depth=2), prediction, 0.7)
    y, s = torch.randn(5, 3), torch.randn(5, 4)
    ratio = torch.full((5, 1), 2.0)
    assert not denoiser.output(y, ratio, s).any()
    clean = {"eps": y, "z": 0 * y, "v": y / 5, "F": y * 0.49 / 4.49}[prediction]
    assert torch.allclose(denoiser(y, ratio, s), clean)


def test_network_broadcasts_as_if_expanded() -> None:
    """One noise level and one summary for (n, B, Dz) rows, against rows given one by one."""
    net = network()
    z = torch.randn(7, 5, 3, generator=make_generator(1))
    s = torch.randn(5, 4, generator=make_generator(2))
    level = torch.tensor(0.3)
    together = net(z, level, s)
    assert together.shape == z.shape
    for i in range(7):
        for b in range(5):
            alone = net(z[i, b][None], torch.full((1, 1), 0.3), s[b][None])
            assert torch.allclose(together[i, b], alone[0], atol=1e-5)
    single = net(z, level, s[:1])
    assert torch.allclose(
        single, net(z, torch.full((7, 5, 1), 0.3), s[:1].expand(7, 5, 4)), atol=1e-5
    )
    assert net(z[0], torch.rand(5, 1), s).shape == (5, 3)


def test_network_listens_to_everything() -> None:
    net = network()
    z, s, level = torch.randn(2, 3), torch.randn(2, 4), torch.tensor([[0.3], [0.3]])
    base = net(z, level, s)
    assert not torch.allclose(base, net(z + 0.1, level, s))
    assert not torch.allclose(base, net(z, level + 0.01, s))
    assert not torch.allclose(base, net(z, level, s + 0.1))
    assert torch.allclose(base[0], net(z[:1], level[:1], s[:1])[0], atol=1e-6)  # rows are separate


def test_network_has_the_size_asked_for() -> None:
    net = ResidualNetwork(2, 4, width=32, depth=3)
    assert len(net.first) == len(net.second) == 3
    assert net.first[0].weight.shape == (32, 32)
    x = torch.zeros(1, 2)
    net(x, torch.zeros(1, 1), torch.zeros(1, 4)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


# ------------------------------------------------------------------------- the ideal denoiser

MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)
COVARIANCE = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)


@pytest.mark.parametrize("ratio", [0.01, 0.5, 3.0])
def test_ideal_gaussian_is_the_conjugate_mean(ratio: float) -> None:
    """z ~ N(m, C), y | z ~ N(z, r² I): precision-weighted mean, written the other way round."""
    y = torch.tensor([[0.0, 0.0], [3.0, -1.0], [1.0, -2.0]], dtype=torch.float64)
    ideal = IdealDenoiser.gaussian(MEAN, COVARIANCE)
    precision = COVARIANCE.inverse() + torch.eye(2) / ratio**2
    for row, guess in zip(y, ideal(y, ratio), strict=True):
        expected = precision.inverse() @ (COVARIANCE.inverse() @ MEAN + row / ratio**2)
        assert torch.allclose(guess, expected)


@pytest.mark.parametrize("ratio", [0.05, 0.5, 3.0])
def test_ideal_score_is_the_gradient_of_the_log_density(ratio: float) -> None:
    y = torch.tensor([[0.0, 0.0], [3.0, -1.0]], dtype=torch.float64, requires_grad=True)
    normal = MultivariateNormal(MEAN, COVARIANCE + ratio**2 * torch.eye(2))
    (expected,) = torch.autograd.grad(normal.log_prob(y).sum(), y)
    score = IdealDenoiser.gaussian(MEAN, COVARIANCE).score(y, ratio)
    assert torch.allclose(score, expected)
    cloud = torch.tensor([[-1.0, 0.0], [0.5, 0.5], [2.0, -3.0]], dtype=torch.float64)
    density = torch.logsumexp(
        MultivariateNormal(cloud, ratio**2 * torch.eye(2).double()).log_prob(y[:, None]), 1
    )
    (expected,) = torch.autograd.grad(density.sum(), y)
    assert torch.allclose(IdealDenoiser(cloud).score(y, ratio), expected)


@pytest.mark.statistical
@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_a_cloud_of_draws_approaches_the_closed_form(ratio: float) -> None:
    draws = MultivariateNormal(MEAN, COVARIANCE).expand((100_000,))
    with randomness_from(make_generator(0)):
        z = draws.sample()
    y = torch.tensor([[1.0, -2.0], [2.0, -1.5], [0.0, -2.5]], dtype=torch.float64)
    guess = IdealDenoiser(z)(y, ratio)
    assert torch.allclose(guess, IdealDenoiser.gaussian(MEAN, COVARIANCE)(y, ratio), atol=0.02)
    shaped = IdealDenoiser(z)(y.reshape(3, 1, 2), ratio)
    assert torch.equal(shaped[:, 0], guess)


@pytest.mark.parametrize("ratio", [1e-3, 1e-2])
def test_a_cloud_is_exact_in_float32_at_small_noise(ratio: float) -> None:
    """Among 100 draws r apart, rounding of |y|² must not blur which is nearest."""
    offsets = torch.arange(100, dtype=torch.float64)[:, None] * ratio
    cloud = (torch.cat([offsets, 0 * offsets], 1) + 3.0).float()
    y = cloud[10:60] + 0.3 * ratio
    single = IdealDenoiser(cloud)(y, ratio).double()
    double = IdealDenoiser(cloud.double())(y.double(), ratio)
    assert (single - double).abs().max() < 0.02 * ratio


def test_ideal_denoiser_of_a_mixture_by_quadrature() -> None:
    """E[z | y] = ∫ z p(z) N(y; z, r²) dz / p(y) for z uniform on [−1, 1]."""
    z, _ = midpoints(-1, 1, 20_001)
    y, ratio = 0.7, 0.2
    weight = np.exp(-0.5 * ((y - z.numpy()) / ratio) ** 2)
    expected = float((weight * z.numpy()).sum() / weight.sum())
    guess = IdealDenoiser(z[:, None])(torch.tensor([[y]], dtype=torch.float64), ratio)
    assert float(guess) == pytest.approx(expected, abs=1e-9)


def test_a_linear_path_is_told_of_the_noise_and_the_summary() -> None:
    net = network(3, 4, linear_path=True)
    generator = torch.Generator().manual_seed(0)
    z, s = torch.randn(6, 3, generator=generator), torch.randn(6, 4, generator=generator)
    level = torch.linspace(-2, 2, 6)[:, None]
    whole = net(z, level, s)
    with torch.no_grad():
        net.leave.weight.zero_()
        net.leave.bias.zero_()
    straight = net(z, level, s)
    # Alone it is linear in z, at a given level and summary, and coordinate by coordinate.
    there, back = net(z + 1, level, s), net(z - 1, level, s)
    torch.testing.assert_close((there + back) / 2, straight, atol=1e-5, rtol=1e-5)
    moved = net(z + torch.tensor([1.0, 0.0, 0.0]), level, s) - straight
    assert (moved[:, 1:].abs() < 1e-6).all()
    assert (moved[:, 0].abs() > 1e-4).all()
    assert not torch.allclose(whole, straight)
    # In sampling, level and s come once for many rows.
    torch.testing.assert_close(net(z, level[:1], s[:1])[0], straight[0])


@pytest.mark.parametrize("part", ["linear_path", "zoom"])
def test_an_untrained_part_says_nothing_and_takes_no_random_numbers(part: str) -> None:
    with_part, without = (
        ds.ConditionalDiffusion(
            ds.problems.TwoMoons(), width=16, depth=1, device="cpu", seed=0, **{part: there}
        )
        for there in (True, False)
    )
    same = dict(with_part.denoiser.named_parameters())
    for name, weight in without.denoiser.named_parameters():
        assert torch.equal(same[name], weight), name
    nets = with_part.denoiser.network, without.denoiser.network
    z, s = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    level = torch.zeros(5, 1)
    assert (nets[0](z, level, s) == 0).all()
    with torch.no_grad():  # nor does it once there is something to be heard
        for net in nets:
            nn.init.ones_(net.leave.weight)
    assert torch.equal(nets[0](z, level, s), nets[1](z, level, s))
    assert (nets[0](z, level, s) != 0).all()


def test_a_linear_path_lets_many_normal_coordinates_through(tmp_path: Path) -> None:
    """Sixty parameters, 32 units: straight on, each would take two of them."""
    problem = ds.problems.LinearGaussian(dim=60)
    theta, x = problem.sample(2000, seed=9, device="cpu")
    losses = {}
    for path in (True, False):
        model = ds.ConditionalDiffusion(
            problem, width=32, depth=2, linear_path=path, device="cpu", seed=0
        )
        ds.fit(model, 300, batch_size=256, seed=0, progress=False)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(1)
            losses[path] = float(model.loss(theta, x, generator=generator))
    assert losses[True] < losses[False] - 0.04  # 0.79 and 0.86
    model.save(tmp_path / "model.safetensors")
    assert ds.load(tmp_path / "model.safetensors").settings()["linear_path"] is False


def test_zoom_magnifies_what_enters_by_what_noise_and_summary_say() -> None:
    net = network(3, 4, zoom=True)
    generator = torch.Generator().manual_seed(0)
    z, s = torch.randn(6, 3, generator=generator), torch.randn(6, 4, generator=generator)
    level = torch.linspace(-2, 2, 6)[:, None]
    before = net(z, level, s)
    with torch.no_grad():
        told = net.gains.weight.clone()
        net.gains.weight.zero_()
        assert not torch.allclose(net(z, level, s), before)
        net.gains.weight.copy_(told)
    # Twice the gains are twice what enters.
    with torch.no_grad():
        for p in net.gains.parameters():
            p.mul_(2)
    twice = net(z, level, s)
    assert not torch.allclose(twice, before)
    with torch.no_grad():
        for p in net.gains.parameters():
            p.div_(2)
        for p in (*net.enter_z.parameters(), *net.enter_s.parameters()):
            p.mul_(2)
    torch.testing.assert_close(net(z, level, s), twice)
    # In sampling, level and s come once for many rows.
    torch.testing.assert_close(net(z, level[:1], s[:1])[0], twice[0])
    # Of no gain, nothing enters.
    with torch.no_grad():
        for p in net.gains.parameters():
            p.zero_()
    torch.testing.assert_close(net(z, level, s), net(z + 1, level, s))


def test_zoom_helps_where_posteriors_are_narrow(tmp_path: Path) -> None:
    """The hat's spike, sixteen times narrower than the prior, learnt by a small network."""
    problem = ds.problems.WitchsHat(2)
    theta, x = problem.sample(4000, seed=9, device="cpu")
    losses = {}
    for zoom in (True, False):
        model = ds.ConditionalDiffusion(problem, width=32, depth=2, zoom=zoom, device="cpu", seed=0)
        ds.fit(model, 600, batch_size=256, seed=0, progress=False)
        with torch.no_grad():
            losses[zoom] = sum(
                float(model.loss(theta, x, generator=torch.Generator().manual_seed(k)))
                for k in range(4)
            )
        if zoom:
            model.save(tmp_path / "model.safetensors")
            again = ds.load(tmp_path / "model.safetensors", problem=problem)
            assert again.settings()["zoom"] is True
            assert torch.equal(again.sample(x[0], 5, seed=0), model.sample(x[0], 5, seed=0))
    assert losses[True] < losses[False] - 4 * 0.003  # 0.417 and 0.424; with seed 1, 0.420, 0.425
