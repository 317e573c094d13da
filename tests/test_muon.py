"""Muon against torch's own, against the singular value decomposition, and in the training loop."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from faults import FailsAfter, LooksLikeGPU
from hypothesis import given, settings
from hypothesis import strategies as st
from references import normal_problem, small_model
from torch import nn

from diffsbi_edu import TrainingDiverged, fit, train
from diffsbi_edu.data import Simulations
from diffsbi_edu.muon import MOMENTUM, NARROW, UPDATE_RMS, Muon, matrices_first, orthogonalised
from diffsbi_edu.run import Knobs, TrainingRun
from diffsbi_edu.runtime import fresh_seed, make_generator


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --------------------------------------------------------------------------- the orthogonalisation


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(-6, 6), st.integers(0, 1000))
def test_singular_vectors_stay_and_values_become_about_one(
    rows: int, columns: int, power: int, seed: int
) -> None:
    """Whatever its size, a matrix U S V' becomes U S' V' with S' near one."""
    g = 10.0**power * normal(1, rows, columns, seed=seed).double()
    u, s, v = torch.linalg.svd(g[0], full_matrices=False)
    middle = u.T @ orthogonalised(g)[0] @ v.T
    kept = s > 0.02 * s.norm()  # smaller ones are raised, too, but not to one in five iterations
    values = middle.diagonal()
    assert (values[kept] > 0.65).all()
    assert (values[kept] < 1.25).all()
    assert (values > 0).all()
    assert torch.allclose(middle, torch.diag(values), atol=1e-6)


def test_a_zero_gradient_moves_nothing() -> None:
    assert torch.equal(orthogonalised(torch.zeros(2, 20, 30)), torch.zeros(2, 20, 30))


def test_matrices_of_a_stack_do_not_see_each_other() -> None:
    g = normal(3, 20, 30)
    alone = torch.cat([orthogonalised(one[None]) for one in g])
    assert torch.allclose(orthogonalised(g), alone, atol=1e-6)


def test_matrices_come_first_and_narrow_ones_not_at_all() -> None:
    shapes = [(20,), (20, 30), (20, NARROW - 1), (30, 20), (4, 20, 20), (20, 30), (NARROW, NARROW)]
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
    order, groups = matrices_first(parameters)
    assert [tuple(p.shape) for p in order] == [
        *[(20, 30), (20, 30), (30, 20), (NARROW, NARROW)],
        *[(20,), (20, NARROW - 1), (4, 20, 20)],
    ]
    assert groups == [(2, 20, 30), (1, 30, 20), (1, NARROW, NARROW)]
    assert {id(p) for p in order} == {id(p) for p in parameters}


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has it from 2.9 on")
def test_ten_steps_equal_torchs_own() -> None:
    """Theirs multiplies in bfloat16, with eight bits of mantissa: two per cent of the way."""
    parameters = [nn.Parameter(normal(*shape)) for shape in ((40, 20), (40, 20), (20, 70))]
    weights = torch.cat([p.detach().reshape(-1) for p in parameters])
    start, gradient = weights.clone(), torch.zeros_like(weights)
    ours = Muon(weights, gradient, [(2, 40, 20), (1, 20, 70)])
    theirs = torch.optim.Muon(
        parameters, weight_decay=0.0, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw"
    )
    for k in range(10):
        lr = 0.01 / (1 + k)
        for p in parameters:
            p.grad = normal(*p.shape, seed=k)
        gradient.copy_(torch.cat([p.grad.reshape(-1) for p in parameters]))  # type: ignore[union-attr]
        theirs.param_groups[0]["lr"] = lr
        theirs.step()
        ours.step(lr)
        flat = torch.cat([p.detach().reshape(-1) for p in parameters])
        assert (flat - weights).norm() < 0.02 * (weights - start).norm()


def test_an_update_has_the_size_it_promises() -> None:
    weights = torch.zeros(64 * 24)
    muon = Muon(weights, normal(64 * 24), [(1, 64, 24)])
    muon.step(0.5)
    assert float(weights.square().mean().sqrt()) == pytest.approx(0.5 * UPDATE_RMS, rel=0.2)


def test_a_silent_unit_leaves_no_denormal_numbers() -> None:
    """A mean that decays for ever would get stuck at 10⁻⁴⁴, where CPUs are fifty times slower."""
    gradient = normal(2 * 32 * 32)
    muon = Muon(torch.zeros(2 * 32 * 32), gradient, [(2, 32, 32)])
    muon.step(0.1)
    gradient.view(2, 32, 32)[:, :9] = 0.0
    smallest = []
    for _ in range(2500):
        muon.step(0.1)
        m = muon.momentum.abs()
        smallest.append(float(m[m > 0].min()))
    assert min(smallest) > 1e-31
    assert (muon.momentum.view(2, 32, 32)[:, :9] == 0).all()
    assert (muon.momentum.view(2, 32, 32)[:, 9:] != 0).all()
    # Within: a row 10⁻¹⁵ of the others' size would have products of 10⁻³⁰ and less, and so on.
    g = normal(1, 32, 32)
    rest = orthogonalised(g * (torch.arange(32) >= 5)[:, None])
    g[:, :5] *= 1e-15
    assert torch.allclose(orthogonalised(g), rest, atol=1e-6)
    assert (orthogonalised(g)[:, :5] == 0).all()


# ------------------------------------------------------------------------------ the training loop


def test_twenty_steps_equal_plain_ones() -> None:
    """Muon on separate matrices, torch.optim.Adam on the rest, and averaging by hand."""
    steps, knobs = 20, Knobs(lr=1e-2, batch_size=32)
    model, plain = small_model(width=20), small_model(width=20)
    states = train(model, steps, warmup=0, knobs=knobs, optimiser="muon", seed=4)
    norms = [state.grad_norm for state in states]
    generator = make_generator(4)
    plain.standardise(seed=fresh_seed(generator))
    fresh_seed(generator)
    named = dict(plain.named_parameters())
    wide = {n for n, p in named.items() if p.ndim == 2 and min(p.shape) >= NARROW}
    assert 2 <= len(wide) < len(named)
    average = {n: p.detach().clone() for n, p in named.items()}
    momentum = {n: torch.zeros_like(named[n]) for n in wide}
    adam = torch.optim.Adam([p for n, p in named.items() if n not in wide], betas=(0.9, 0.99))
    for k in range(steps):
        adam.param_groups[0]["lr"] = lr = knobs.lr * 0.5 * (1 + math.cos(math.pi * k / steps))
        theta, x = plain.problem.sample(knobs.batch_size, seed=generator, device="cpu")
        plain.zero_grad()
        plain.loss(theta, x, generator=generator).backward()
        norm = nn.utils.clip_grad_norm_(plain.parameters(), knobs.clip)
        assert norms[k] == pytest.approx(float(norm), rel=1e-3)
        adam.step()
        for n in wide:
            grad = named[n].grad
            assert grad is not None
            momentum[n] = MOMENTUM * momentum[n] + (1 - MOMENTUM) * grad
            update = orthogonalised((MOMENTUM * momentum[n] + (1 - MOMENTUM) * grad)[None])[0]
            named[n].data -= lr * 0.2 * max(update.shape) ** 0.5 * update
        beta = min(knobs.ema, (1 + k) / (10 + k))
        for n, p in named.items():
            average[n] = beta * average[n] + (1 - beta) * p.detach()
    for n, p in model.named_parameters():
        assert torch.allclose(p, average[n], atol=1e-4), n


@pytest.mark.parametrize("stop", [1, 5, 8])
def test_interrupted_and_resumed_is_uninterrupted(stop: int, tmp_path: Path) -> None:
    path, common = tmp_path / "run.safetensors", {"batch_size": 32, "optimiser": "muon", "seed": 0}
    whole, first, second = small_model(), small_model(), small_model(seed=1)
    losses = [s.loss for s in train(whole, 12, **common)]  # type: ignore[arg-type]
    for state in train(first, 12, checkpoint=path, **common):  # type: ignore[arg-type]
        if state.step == stop:
            break
    rest = train(second, 12, checkpoint=path, resume=True, **common)  # type: ignore[arg-type]
    assert [s.loss for s in rest] == losses[stop:]
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_run_goes_on_with_its_own_optimiser_only(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    fit(small_model(), 4, optimiser="muon", checkpoint=path, seed=0, progress=False)
    with pytest.raises(ValueError, match="another run"):
        next(train(small_model(), 4, checkpoint=path, resume=True))


def test_an_unknown_optimiser_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'muon'\? Valid names: 'adam', 'muon'"):
        train(small_model(), 4, optimiser="moun")


def test_the_decoder_alone_leaves_the_encoder_as_it_is() -> None:
    model = small_model(encoder=FailsAfter(1000))
    settings = {"optimiser": "muon", "batch_size": 16, "progress": False}
    fit(model, 3, seed=0, **settings)  # type: ignore[arg-type]
    encoder = [p.clone() for p in model.encoder.parameters()]
    decoder = [p.clone() for p in model.denoiser.parameters()]
    fit(model, 3, seed=1, summaries=64, **settings)  # type: ignore[arg-type]
    assert all(map(torch.equal, encoder, model.encoder.parameters()))
    assert not any(map(torch.equal, decoder, model.denoiser.parameters()))


@pytest.mark.parametrize("gpu", [False, True])
def test_a_nan_never_reaches_the_weights(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, too, and at once: there Adam's own way to skip a step is not Muon's."""
    model = small_model(encoder=FailsAfter(7, once=True))
    model.standardise(seed=0)
    plan = {"steps": 30, "warmup": 0, "decay": False, "optimiser": "muon"}
    source = Simulations(model.problem, torch.device("cpu"))
    run = TrainingRun(model, source, Knobs(batch_size=16), plan, 0)
    if gpu:
        monkeypatch.setattr(type(model), "device", property(lambda self: LooksLikeGPU))
    for _ in range(7):
        run.advance()
    weights = run.weights.clone()
    with pytest.raises(TrainingDiverged, match="step 8"):
        run.advance()
    assert torch.equal(run.weights, weights)
    assert weights.isfinite().all()
    assert run.muon is not None
    assert run.muon.momentum.isfinite().all()


def test_both_optimisers_learn() -> None:
    losses = {}
    for name in ("adam", "muon"):
        model = small_model(normal_problem(), width=32)
        history = fit(model, 150, optimiser=name, seed=0, batch_size=128, progress=False)
        losses[name] = sum(history.losses[-30:]) / 30
        assert losses[name] < 0.85 * sum(history.losses[:5]) / 5
    assert losses["muon"] < 1.05 * losses["adam"]
