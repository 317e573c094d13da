"""The decoder trained alone, on stored summaries, while the summary network rests."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from references import small_model
from torch import nn
from torch.distributions import MultivariateNormal

import diffsbi_edu as ds
from diffsbi_edu import ConditionalDiffusion, ConditionalFlow, Knobs, Problem, encoders, fit, train
from diffsbi_edu.benchmark.cases import (
    BUDGETS,
    CASES,
    METHODS,
    SHARES,
    Budget,
    finish_of,
    pace_of,
    paces,
)
from diffsbi_edu.benchmark.pace import measure_pace, write_paces
from diffsbi_edu.benchmark.run_case import Run, run_case
from diffsbi_edu.data import PIECE, Summaries
from diffsbi_edu.errors import CheckpointError, TrainingDiverged
from diffsbi_edu.run import TrainingRun


def means_problem(noise: float = 1.0) -> Problem:
    """theta ~ N(0, I₂), five observations N(theta, noise²): posterior N(5 x̄ / (5 + noise²), …)."""
    prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
    return Problem(
        prior,
        lambda theta, n: theta[:, None] + noise * torch.randn(len(theta), n, 2),
        name="means",
        n_obs=5,
    )


def with_encoder(problem: Problem | None = None, estimator: type = ConditionalDiffusion) -> Any:
    network = encoders.DeepSets(2, 4, width=16, seed=0)
    return estimator(problem or means_problem(), network, width=16, depth=1, device="cpu", seed=0)


def copies(module: nn.Module) -> list[torch.Tensor]:
    return [t.clone() for t in [*module.parameters(), *module.buffers()]]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("estimator", [ConditionalDiffusion, ConditionalFlow])
def test_the_summary_network_rests_and_the_decoder_learns(estimator: type) -> None:
    model = with_encoder(estimator=estimator)
    fit(model, 5, seed=0, batch_size=32, progress=False)
    encoder = copies(model.encoder)
    decoder = copies(getattr(model, "denoiser", None) or model.flow)
    fit(model, 5, seed=1, batch_size=32, summaries=100, progress=False)
    assert same(encoder, copies(model.encoder))
    assert not same(decoder, copies(getattr(model, "denoiser", None) or model.flow))
    # Only for as long as that: trained jointly again, both learn.
    assert all(p.requires_grad for p in model.parameters())
    fit(model, 5, seed=2, batch_size=32, progress=False)
    assert not same(encoder, copies(model.encoder))


def test_the_optimiser_holds_the_decoders_weights_only() -> None:
    model = with_encoder()
    plan = {"steps": 5, "warmup": 0, "decay": True}
    run = TrainingRun(model, Summaries(model, 10), Knobs(), plan, 0)
    assert run.weights.numel() == sum(p.numel() for p in model.denoiser.parameters())


def test_batch_norm_of_a_summary_network_rests_too() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.out = nn.BatchNorm1d(2), nn.Linear(2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.norm(x.mean(1)))

    model = ConditionalDiffusion(means_problem(), Normed(), width=8, depth=1, device="cpu", seed=0)
    fit(model, 5, seed=0, batch_size=32, progress=False)
    before = copies(model.encoder)
    fit(model, 5, seed=0, batch_size=32, summaries=64, progress=False)
    assert same(before, copies(model.encoder))


def test_each_pair_is_simulated_and_summarised_once() -> None:
    """All batches come from as many pairs as were asked for, theta beside its own data's s."""
    calls: list[int] = []

    def exactly(theta: torch.Tensor) -> torch.Tensor:
        calls.append(len(theta))
        return 2 * theta[:, None] + 1

    # Of units that are not the latents': what is stored must be z, not theta.
    prior = MultivariateNormal(torch.tensor([5.0, -3.0]), 4 * torch.eye(2))
    problem = Problem(prior, exactly, name="exactly")
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Watched(ConditionalDiffusion):
        def loss_given(self, z: torch.Tensor, s: torch.Tensor, **kw: Any) -> torch.Tensor:
            seen.append((self.to_latent.inverse(z), s))
            return super().loss_given(z, s, **kw)

    model = Watched(problem, width=8, depth=1, device="cpu", seed=0).standardise(seed=0)
    calls.clear()
    pairs = 2 * PIECE + 40
    for state in train(model, 30, seed=0, batch_size=50, summaries=pairs):
        assert math.isfinite(state.loss)
        assert calls == [PIECE, PIECE, 40]
    theta, s = (torch.cat(each) for each in zip(*seen, strict=True))
    assert len(theta) == 30 * 50
    assert torch.allclose(s, model.summarise(exactly(theta)), atol=1e-4)
    # 1,500 draws with replacement miss each of 296 pairs with probability 0.006.
    assert 280 <= len(torch.unique(theta, dim=0)) <= pairs
    assert ((theta.mean(0) - prior.mean) / 2).abs().max() < 0.4
    assert (theta.std(0) / 2 - 1).abs().max() < 0.25


@pytest.mark.parametrize("stop", [1, 4, 10])
def test_interrupted_and_resumed_is_uninterrupted(stop: int, tmp_path: Path) -> None:
    def learnt() -> Any:
        model = with_encoder()
        fit(model, 5, seed=3, batch_size=32, progress=False)
        return model

    settings: dict[str, Any] = {"batch_size": 32, "summaries": 200}
    whole, first, second = learnt(), learnt(), with_encoder()
    losses = [state.loss for state in train(whole, 12, seed=0, **settings)]
    path, seen = tmp_path / "run.safetensors", []
    for state in train(first, 12, seed=0, checkpoint=path, checkpoint_every=3, **settings):
        seen.append(state.loss)
        if state.step == stop:
            break
    # Another model, another seed: what counts is in the file, the summary network too.
    for state in train(second, 12, seed=9, checkpoint=path, resume=True, **settings):
        seen.append(state.loss)
    assert seen == losses
    assert same(copies(whole), copies(second))


def test_a_checkpoint_of_other_training_is_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "run.safetensors", with_encoder()
    fit(model, 4, seed=0, batch_size=8, checkpoint=path, progress=False)
    for summaries in (64, 65):
        with pytest.raises(CheckpointError, match="source was"):
            next(train(model, 4, batch_size=8, summaries=summaries, checkpoint=path, resume=True))
        fit(model, 4, seed=0, batch_size=8, summaries=64, checkpoint=path, progress=False)


def test_impossible_settings() -> None:
    model = small_model()
    for wrong in (0, 2.5):
        with pytest.raises(ValueError, match="summaries must be a whole number of at least 1"):
            train(model, 5, summaries=wrong)
    data = model.problem.sample(50, seed=0, device="cpu")
    with pytest.raises(ValueError, match="either data or summaries"):
        train(model, 5, summaries=10, data=data)


def test_failures_are_those_of_joint_training() -> None:
    problem = means_problem()
    model = with_encoder(problem).standardise(seed=0)
    problem.simulator = lambda theta, n: torch.full((len(theta), n, 2), math.nan)
    with pytest.raises(ds.SimulationError):
        next(train(model, 5, summaries=10))
    model = with_encoder()
    with torch.no_grad():
        next(model.denoiser.parameters()).fill_(math.nan)
    with pytest.raises(TrainingDiverged):
        next(train(model, 5, summaries=10))


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_fresh_decoder_learns_the_posterior_from_summaries(
    shuffled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The summary is the mean itself; the known failure: each theta beside another's summary."""

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scale * x.mean(1)

    if shuffled:
        made = Summaries._made

        def wrong(self: Summaries, progress: bool) -> tuple[torch.Tensor, torch.Tensor]:
            theta, s = made(self, progress)
            return theta, s.roll(1, 0)

        monkeypatch.setattr(Summaries, "_made", wrong)
    model = ConditionalDiffusion(means_problem(), Mean(), width=32, depth=2, device="cpu", seed=0)
    fit(model, 400, seed=0, batch_size=256, summaries=20_000, progress=False)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(1)) + torch.tensor([1.5, -1.0])
    draws = model.sample(x, 4000, seed=1)
    exact_mean, exact_sd = 5 * x.mean(0) / 6, 6**-0.5
    mean_gap = (draws.mean(0) - exact_mean).abs().max()
    sd_gap = (draws.std(0) / exact_sd - 1).abs().max()
    # The network is small and briefly trained: 0.25 sds and 15 % are far from what fails.
    assert (mean_gap < 0.25 * exact_sd and sd_gap < 0.15) != shuffled


# ------------------------------------------------------------------------------------ the suite


def test_a_run_of_the_suite_ends_with_the_decoder_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def watched(model: Any, steps: int, **settings: Any) -> Any:
        asked.append({"steps": steps, "noise_draws": model.noise_draws, **settings})
        return train(model, steps, **settings)

    monkeypatch.setattr("diffsbi_edu.benchmark.run_case.train", watched)
    case, tiny = CASES["normal_gamma"], Budget("tiny", steps=3, n_sims=100, n_samples=9, draws=30)
    row = run_case(Run("normal_gamma", "diffusion", 5, 3, tiny))
    assert row["status"] == "ok", row["reason"]
    joint, alone = asked
    assert "summaries" not in joint
    assert joint["steps"] == 3
    assert (joint["noise_draws"], alone["noise_draws"]) == (case.noise_draws, 2)
    assert (alone["summaries"], alone["steps"]) == finish_of(case, "diffusion", 3)
    assert alone["seed"] != joint["seed"]
    asked.clear()
    row = run_case(Run("two_moons", "diffusion", 5, 3, tiny))
    assert row["status"] == "ok"
    assert len(asked) == 1


def test_the_time_is_shared_as_said() -> None:
    """Steps and summaries at their paces fill the budget, for every method of ours; the decoder
    makes neither more nor fewer passes over the summaries than its method says.
    """
    budget = BUDGETS["laptop"]
    by_passes: list[tuple[str, str]] = []
    shared_as_usual: list[str] = []
    finishing = [(c, m) for c in CASES.values() for m in METHODS if METHODS[m].finishing(c)]
    assert {m for _, m in finishing} == {"diffusion", "nsf", "maf", "coupling"}
    assert {c.problem for c, _ in finishing} == {c.problem for c in CASES.values() if c.finishes}
    for case, method in finishing:
        pace, steps = pace_of(case, method), budget.steps_of(case, method)
        finish = finish_of(case, method, steps)
        assert finish is not None
        spent = [steps * pace.step, finish[0] * pace.pair, finish[1] * pace.decoder]
        total = 1000 * 48.0 * 2.125
        assert sum(spent) == pytest.approx(total, rel=0.01)
        assert spent[0] / total == pytest.approx(SHARES[0], rel=0.01)
        rest = METHODS[method].finishing(case)
        assert rest is not None
        passes = finish[1] * rest["batch_size"] / finish[0]
        least, most = METHODS[method].passes
        if spent[1] / total == pytest.approx(SHARES[1], rel=0.01):
            shared_as_usual.append(method)
            assert least - 0.01 <= passes <= most + 0.01
        else:  # as near to the usual as may be
            by_passes.append((method, case.group))
            fewer = spent[1] / total > SHARES[1]  # passes than would be usual
            assert passes == pytest.approx(most if fewer else least, rel=0.01)
        assert passes < 30
    # Sets are cheap, and would be seen too seldom by all but a MAF, whose steps are cheap, too; it
    # would see the dear sequences too often. A diffusion would miss its least by little on one.
    groups = ("independent data", "sequences")
    assert set(by_passes) == {
        ("maf", groups[1]), *product(("diffusion", "coupling", "nsf"), groups)
    }  # fmt: skip
    assert {*shared_as_usual} == {"diffusion", "nsf", "maf", "coupling"}
    assert sum(SHARES) == pytest.approx(1)
    assert finish_of(CASES["lotka_volterra"], "diffusion_paper", 100) is None
    assert finish_of(CASES["slcp"], "diffusion", 100) is None


def test_paces_of_a_decoder_alone_are_measured_and_written(tmp_path: Path) -> None:
    pace = measure_pace("normal_gamma", "maf", steps=4)
    # A stored pair costs no backward pass, and a decoder's step no summary.
    assert 0 < pace.pair * CASES["normal_gamma"].batch_size < pace.step
    assert 0 < pace.decoder < pace.step
    path = tmp_path / "pace.csv"
    write_paces(["two_moons", "normal_gamma"], ["diffusion"], path, progress=False)
    table = paces(path)
    assert math.isnan(table["two_moons", "diffusion"].decoder)
    assert table["normal_gamma", "diffusion"].decoder > 0
