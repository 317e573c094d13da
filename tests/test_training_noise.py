"""The mirrored noise of training: the same law, and a gradient with less noise in it."""

from __future__ import annotations

import pytest
import torch

import diffsbi_edu as ds
from diffsbi_edu.levels import LogNormal
from diffsbi_edu.schedules import EDM
from diffsbi_edu.training_noise import noised


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("draws", [1, 2, 3, 4, 7])
def test_every_second_copy_is_mirrored(draws: int) -> None:
    z = torch.randn(5, 3, generator=generator(1))
    copies, ratio, eps = noised(z, EDM(), draws, generator())
    assert copies.shape == eps.shape == (5 * draws, 3)
    assert ratio.shape == (5 * draws, 1)
    assert all(torch.equal(part, z) for part in copies.split(5))
    own = (draws + 1) // 2 * 5
    mirrored = draws // 2 * 5
    assert torch.equal(ratio[own:], ratio[:mirrored])
    assert torch.equal(eps[own:], -eps[:mirrored])
    # And those that are not mirrored are all different.
    assert len(eps[:own].abs().unique()) == 3 * own
    assert len(ratio[:own].unique()) == own


def test_levels_still_cover_their_law_evenly() -> None:
    """One level in each of the n·B/2 equal parts of the distribution that is trained on."""
    schedule = EDM(training=LogNormal(-1.0, 2.0))
    _, ratio, _ = noised(torch.zeros(64, 1), schedule, 4, generator())
    u = torch.special.ndtr((ratio[:128, 0].log() + 1.0) / 2.0)
    assert torch.equal((u * 128).floor().long(), torch.arange(128))


def gradients(model: ds.ConditionalDiffusion, draws: int, n: int = 400) -> torch.Tensor:
    """n gradients of the loss, each of 128 rows: fresh pairs, noised `draws` times each."""
    theta, x = model.problem.sample(n * 128 // draws, seed=3, device="cpu")
    model.noise_draws, noise = draws, generator(4)
    rows = []
    for batch in zip(theta.chunk(n), x.chunk(n), strict=True):
        model.zero_grad()
        model.loss(*batch, generator=noise).backward()
        rows.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    return torch.stack(rows)


@pytest.mark.parametrize(("level", "share"), [(-5.0, 0.02), (-3.0, 0.4), (2.0, 2.2)])
def test_mirrored_noise_takes_noise_out_of_the_gradient(level: float, share: float) -> None:
    """At equal cost, and the more of it the smaller the noise is. Where noise is all there is, half
    as many parameters are half as many, and the variance doubles.
    """
    model = ds.ConditionalDiffusion(
        ds.problems.TwoMoons(), width=16, depth=1, device="cpu", seed=0,
        schedule=EDM(training=LogNormal(level, 0.1)),
    )  # fmt: skip
    ds.fit(model, 50, seed=0, progress=False)
    alone, mirrored = gradients(model, 1), gradients(model, 2)
    n = len(alone)
    assert mirrored.var(0).sum() < share * alone.var(0).sum()
    # The same mean: n·‖difference‖² is chi-square-like, its mean the sum of both variances. Its
    # tail beyond twice that is below 1e-3 with ten or more degrees of freedom, fixed seed.
    apart = n * (alone.mean(0) - mirrored.mean(0)).square().sum()
    assert apart < 2 * (alone.var(0).sum() + mirrored.var(0).sum())


def test_a_gradient_of_the_wrong_mean_would_be_noticed() -> None:
    """The known failure: noise of other levels than those to train on."""
    model = ds.ConditionalDiffusion(
        ds.problems.TwoMoons(), width=16, depth=1, device="cpu", seed=0,
        schedule=EDM(training=LogNormal(-3.0, 0.1)),
    )  # fmt: skip
    ds.fit(model, 50, seed=0, progress=False)
    alone = gradients(model, 1)
    model.schedule = EDM(training=LogNormal(-2.0, 0.1))
    other = gradients(model, 2)
    apart = 400 * (alone.mean(0) - other.mean(0)).square().sum()
    assert apart > 2 * (alone.var(0).sum() + other.var(0).sum())
