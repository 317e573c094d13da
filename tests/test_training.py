"""The training loop: reproducible, resumable, honest about failure, and equal to plain Adam."""

from __future__ import annotations

import copy
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults import FailsAfter, LooksLikeGPU
from references import normal_problem, small_model
from torch import nn
from tqdm import tqdm

import diffsbi_edu as ds
from diffsbi_edu import History, Knobs, Problem, TrainingDiverged, fit, problems, train
from diffsbi_edu.data import VALIDATION_SEED, Simulations
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.run import TrainingRun
from diffsbi_edu.runtime import fresh_seed, make_generator
from diffsbi_edu.schedules import EDM, Cosine

SMALL = {"batch_size": 32, "progress": False}


def weights_of(model: Estimator) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Encoder(nn.Module):
    """Every kind of state at once: BatchNorm statistics, Dropout, a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(2, 4)
        self.frozen.requires_grad_(False)
        self.layers = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.1), nn.Linear(4, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(self.frozen(x.mean(1)))  # type: ignore[no-any-return]


def encoded() -> Estimator:
    torch.manual_seed(0)
    return small_model(encoder=Encoder())


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    return normal_problem().sample(150, seed=5, device="cpu")


# ----------------------------------------------------------------------- the same numbers again


@pytest.mark.parametrize("make", [small_model, encoded])
@pytest.mark.parametrize("fixed", [False, True])
def test_the_same_seed_gives_the_same_run(make: type, fixed: bool, data: tuple) -> None:
    runs = []
    for seed in (0, 0, 1):
        model = make()
        history = fit(model, 12, seed=seed, data=data if fixed else None, **SMALL)
        runs.append((history.losses, history.grad_norms, weights_of(model)))
    assert runs[0][:2] == runs[1][:2]
    assert equal(runs[0][2], runs[1][2])
    assert runs[0][0] != runs[2][0]


@pytest.mark.parametrize("make", [small_model, encoded])
@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("stop", [1, 7, 16, 23])
def test_interrupted_and_resumed_is_uninterrupted(
    make: type, fixed: bool, stop: int, data: tuple, tmp_path: Path
) -> None:
    """Bit for bit: losses, averaged weights, held-out losses; left at any step."""
    settings = {"seed": 0, "batch_size": 32, "data": data if fixed else None}
    whole = make()
    states = list(train(whole, 24, **settings))
    path = tmp_path / "run.safetensors"
    first, seen = make(), []
    for state in train(first, 24, checkpoint=path, checkpoint_every=5, **settings):
        seen.append(state)
        if state.step == stop:
            break
    del first
    second = make()
    with torch.no_grad():
        for p in second.parameters():
            p.add_(1.0)  # whatever it was, the file wins
    for state in train(second, 24, checkpoint=path, resume=True, **{**settings, "seed": 99}):
        seen.append(state)
    assert [s.step for s in seen] == list(range(1, 25))
    assert [s.loss for s in seen] == [s.loss for s in states]
    assert [s.grad_norm for s in seen] == [s.grad_norm for s in states]
    assert [s.lr for s in seen] == [s.lr for s in states]
    assert [s.val_loss for s in seen] == [s.val_loss for s in states]
    assert equal(weights_of(whole), weights_of(second))
    assert not list(train(make(), 24, checkpoint=path, resume=True, **settings))  # nothing left


def test_resuming_without_a_file_starts_afresh(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    a, b = small_model(), small_model()
    fit(a, 4, seed=0, **SMALL)
    fit(b, 4, seed=0, checkpoint=path, resume=True, **SMALL)
    assert equal(weights_of(a), weights_of(b))
    assert path.is_file()


KILLED = """
    import sys, time, torch
    import diffsbi_edu as ds
    sys.path.insert(0, {tests!r})
    from references import small_model
    torch.set_num_threads(1)
    model = small_model()
    settings = dict(seed=0, batch_size=32, checkpoint={path!r}, checkpoint_every=20)
    for state in ds.train(model, 4000, **settings):
        print(state.step, flush=True)
        time.sleep(0.05 * (state.step > 50))  # the signal comes before many more steps
"""


@pytest.mark.slow
def test_a_killed_process_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    """SIGKILL in the middle of a run: the last periodic checkpoint goes on as if nothing were."""
    path = tmp_path / "run.safetensors"
    code = textwrap.dedent(KILLED.format(path=str(path), tests=str(Path(__file__).parent)))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 53:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        resumed, whole = small_model(), small_model()
        states = train(resumed, 4000, seed=0, batch_size=32, checkpoint=path, resume=True)
        first = next(states)
        assert first.step > 40
        assert first.step % 20 == 1
        losses = {first.step: first.loss}
        for state in states:
            losses[state.step] = state.loss
            if len(losses) == 30:
                break
        for state in train(whole, 4000, seed=0, batch_size=32):
            if state.step in losses:
                assert state.loss == losses[state.step]
            if state.step == max(losses):
                break
    finally:
        torch.set_num_threads(threads)


# ------------------------------------------------------------------- against a plain implementation


@pytest.mark.parametrize("knobs", [Knobs(), Knobs(lr=2e-2, batch_size=16, clip=0.05, ema=0.9)])
@pytest.mark.parametrize("decay", [True, False])
def test_twenty_steps_equal_plain_adam(knobs: Knobs, decay: bool) -> None:
    """torch.optim.Adam on the separate parameters, clip_grad_norm_, and the formulas by hand."""
    steps, warmup = 20, 2
    model, plain = small_model(), small_model()
    history = History(train(model, steps, warmup=100, decay=decay, knobs=knobs, seed=4))
    generator = make_generator(4)
    plain.standardise(seed=fresh_seed(generator))
    fresh_seed(generator)  # the one for shuffling
    average = {n: p.detach().clone() for n, p in plain.named_parameters()}
    optimiser = torch.optim.Adam(plain.parameters(), lr=1.0, betas=(0.9, 0.99))
    for k in range(steps):
        lr = knobs.lr * min(1, (k + 1) / (warmup + 1))
        if decay:
            lr *= 0.5 * (1 + math.cos(math.pi * k / steps))
        optimiser.param_groups[0]["lr"] = lr
        theta, x = plain.problem.sample(knobs.batch_size, seed=generator, device="cpu")
        loss = plain.loss(theta, x, generator=generator)
        optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(plain.parameters(), knobs.clip)
        optimiser.step()
        beta = min(knobs.ema, (1 + k) / (10 + k))
        for name, p in plain.named_parameters():
            average[name] = beta * average[name] + (1 - beta) * p.detach()
        state = history[k]
        assert state.step == k + 1
        assert state.lr == pytest.approx(lr)
        assert state.loss == pytest.approx(float(loss.detach()), rel=1e-4)
        assert state.grad_norm == pytest.approx(float(norm), rel=1e-3)
    for name, p in model.named_parameters():
        assert torch.allclose(p, average[name], atol=1e-5), name


def test_the_model_holds_the_average_and_not_the_last_weights() -> None:
    no_average, averaged = small_model(), small_model()
    fit(no_average, 15, seed=0, ema=0.0, **SMALL)
    fit(averaged, 15, seed=0, ema=0.99, **SMALL)
    assert not equal(weights_of(no_average), weights_of(averaged))


def test_warm_up_is_at_most_a_tenth() -> None:
    rates = [s.lr for s in train(small_model(), 50, warmup=100, decay=False, batch_size=8)]
    assert np.allclose(rates[:5], 6e-3 * np.arange(1, 6) / 6)
    assert np.allclose(rates[5:], 6e-3)
    none = [s.lr for s in train(small_model(), 5, warmup=0, decay=True, batch_size=8)]
    assert none[0] == 6e-3
    assert 0 < none[-1] < 0.1 * 6e-3


# --------------------------------------------------------------------------- changing on the way


def test_knobs_take_effect_while_training() -> None:
    knobs = Knobs(lr=1e-3, batch_size=16)
    model = small_model()
    drawn: list[int] = []
    inner = model.problem.simulator
    model.problem.simulator = lambda theta: (drawn.append(len(theta)), inner(theta))[1]
    for state in train(model, 30, knobs=knobs, warmup=0, decay=False, seed=0):
        if state.step == 10:
            knobs.batch_size, knobs.lr = 64, 5e-3
            before = weights_of(model)
        if state.step == 11:
            assert state.lr == 5e-3
        if state.step == 20:
            knobs.lr, knobs.ema = 1e-30, 0.0
        if state.step == 22:
            frozen = weights_of(model)
    assert drawn[-30:] == [16] * 10 + [64] * 20
    assert not equal(before, frozen)
    assert equal(frozen, weights_of(model))


def test_a_knob_turned_to_nonsense_stops_with_its_name() -> None:
    knobs = Knobs(batch_size=8)
    model = small_model()
    states = train(model, 10, knobs=knobs, seed=0)
    next(states)
    kept = weights_of(model)
    knobs.lr = math.nan
    with pytest.raises(ValueError, match="lr, the learning rate, must be positive"):
        next(states)
    assert equal(kept, weights_of(model))


def test_a_schedule_may_be_replaced_while_training() -> None:
    """From the next step on, the twin draws its noise levels from the new schedule."""
    model = small_model()
    levels: list[torch.Tensor] = []

    class Spy(Cosine):
        def training_ratios(self, n: int, generator: torch.Generator) -> torch.Tensor:
            levels.append(super().training_ratios(n, generator))
            return levels[-1]

    for state in train(model, 20, batch_size=8, seed=0):
        if state.step == 10:
            assert not levels
            model.schedule = Spy()
    assert len(levels) == 10


def test_the_model_can_be_sampled_at_every_step_without_disturbing_it() -> None:
    quiet, watched = small_model(), small_model()
    fit(quiet, 10, seed=0, **SMALL)
    for _ in train(watched, 10, seed=0, batch_size=32):
        watched.sample(torch.zeros(1, 2), 5, steps=2)
        watched.log_prob(torch.zeros(1, 2), torch.zeros(1, 2), steps=1)
        assert not watched.training
    assert equal(weights_of(quiet), weights_of(watched))


# ----------------------------------------------------------------------------------- fixed data


def test_every_pair_is_used_once_an_epoch_and_none_held_out(data: tuple) -> None:
    theta = data[0]
    seen: list[torch.Tensor] = []

    class Watched(type(small_model())):  # type: ignore[misc]
        def loss(self, theta: torch.Tensor, x: torch.Tensor, **kw: object) -> torch.Tensor:
            if self.training:
                seen.append(theta)
            return super().loss(theta, x, **kw)  # type: ignore[no-any-return]

    model = Watched(normal_problem(), width=8, depth=1, device="cpu", seed=0)
    states = list(
        train(model, 10, batch_size=30, data=data, validation_fraction=0.2, patience=None, seed=0)
    )
    assert [len(t) for t in seen] == [30] * 10
    epochs = [torch.cat(seen[:4]), torch.cat(seen[4:8])]
    for epoch in epochs:
        assert len(torch.unique(epoch, dim=0)) == 120
    assert torch.equal(torch.unique(epochs[0], dim=0), torch.unique(epochs[1], dim=0))
    assert not torch.equal(epochs[0], epochs[1])
    assert [s.step for s in states if s.val_loss is not None] == [4, 8]
    held = [t for t in theta.tolist() if t not in epochs[0].tolist()]
    assert len(held) == 30


def test_validation_is_the_loss_of_the_averaged_model_on_held_out_pairs(data: tuple) -> None:
    model = small_model()
    for state in train(model, 9, batch_size=45, data=data, seed=0, patience=None):
        if state.val_loss is not None:
            kept = copy.deepcopy(model.state_dict())
            value = state.val_loss
            break
    # The held-out pairs, found as the documented shuffle finds them.
    generator = make_generator(0)
    fresh_seed(generator)
    order = torch.randperm(150, generator=make_generator(fresh_seed(generator)))[:15]
    model.load_state_dict(kept)
    loss = model.loss(data[0][order], data[1][order], generator=make_generator(VALIDATION_SEED))
    assert value == pytest.approx(float(loss.detach()), rel=1e-5)


def forgetful() -> Problem:
    """Two features that tell of theta among 18 that do not: 30 pairs are soon learnt by heart."""

    def simulator(theta: torch.Tensor) -> torch.Tensor:
        return torch.randn(len(theta), 20) + nn.functional.pad(theta, (0, 18))

    return Problem(normal_problem().prior, simulator)


@pytest.mark.parametrize("as_vectors", [True, False])
def test_overfitting_is_stopped_and_the_best_weights_kept(as_vectors: bool) -> None:
    problem = forgetful()
    theta, x = problem.sample(60, seed=1, device="cpu")
    data = (theta, x[:, 0] if as_vectors else x)
    settings = {"data": data, "seed": 0, "lr": 1e-2, "decay": False, "validation_fraction": 0.5}

    unstopped = fit(small_model(problem, width=64), 300, patience=None, **settings, **SMALL)
    values = [v for _, v in unstopped.val_losses]
    assert len(unstopped) == 300
    assert values[-1] > 2 * min(values)  # overfitting, plain to see
    assert np.mean(unstopped.losses[-20:]) < 0.5 * values[-1]

    model = small_model(problem, width=64)
    stopped = fit(model, 300, patience=15, **settings, **SMALL)
    values = [v for _, v in stopped.val_losses]
    best = int(np.argmin(values))
    assert len(values) - 1 - best == 15
    assert len(stopped) < 100
    # The weights are those of the best epoch: their held-out loss, computed afresh.
    generator = make_generator(0)
    fresh_seed(generator)
    held = torch.randperm(60, generator=make_generator(fresh_seed(generator)))[:30]
    loss = model.loss(theta[held], x[held], generator=make_generator(VALIDATION_SEED))
    assert float(loss.detach()) == pytest.approx(values[best], rel=1e-5)
    assert values[best] < values[-1]


def test_early_stopping_survives_an_interruption(tmp_path: Path) -> None:
    problem = forgetful()
    data = problem.sample(60, seed=1, device="cpu")
    path = tmp_path / "run.safetensors"
    settings = {"data": data, "patience": 40, "seed": 0, "lr": 1e-2, "batch_size": 16}
    whole = small_model(problem)
    steps = [s.step for s in train(whole, 3000, **settings)]
    seen = []
    for stop in (20, len(steps) - 2, None):
        model = small_model(problem)
        for state in train(model, 3000, checkpoint=path, resume=True, **settings):
            seen.append(state.step)
            if state.step == stop:
                break
    assert seen == steps
    assert len(steps) < 3000
    assert equal(weights_of(whole), weights_of(model))


def test_units_come_from_the_fixed_data_and_the_simulator_is_not_called(data: tuple) -> None:
    model = small_model()

    def never(theta: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the simulator was called")

    model.problem.simulator = never
    fit(model, 5, data=(data[0].numpy(), 100 * data[1].double().numpy()), seed=0, **SMALL)
    expected = 100 * data[1][:, 0].double().numpy()
    assert np.allclose(model.standardise_x.mean, expected.mean(0), rtol=1e-4)
    assert np.allclose(model.standardise_x.scale, expected.std(0), rtol=1e-4)


def test_without_held_out_pairs_nothing_stops(data: tuple) -> None:
    history = fit(small_model(), 30, data=data, validation_fraction=0, patience=1, seed=0, **SMALL)
    assert len(history) == 30
    assert history.val_losses == []


# ------------------------------------------------------------------------------------- encoders


def test_batch_norm_statistics_and_frozen_weights() -> None:
    torch.manual_seed(0)
    encoder = Encoder()
    model = small_model(encoder=encoder)
    frozen = encoder.frozen.weight.clone()
    moving = encoder.layers[2].weight.clone()
    fit(model, 15, seed=0, **SMALL)
    assert torch.equal(encoder.frozen.weight, frozen)
    assert not torch.equal(encoder.layers[2].weight, moving)
    assert int(encoder.layers[0].num_batches_tracked) == 15
    assert encoder.layers[0].running_mean.abs().sum() > 0
    first, second = (model.sample(torch.zeros(1, 2), 5, seed=0) for _ in range(2))
    assert torch.equal(first, second)  # no dropout in sampling


def test_an_encoders_own_state_follows() -> None:
    """Buffers that are not BatchNorm's, too: here a power iteration's vectors."""

    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.utils.spectral_norm(nn.Linear(2, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.mean(1))  # type: ignore[no-any-return]

    encoder = Spectral()
    model = small_model(encoder=encoder)
    before = encoder.layer.weight_v.clone()
    fit(model, 5, seed=0, **SMALL)
    assert not torch.equal(encoder.layer.weight_v, before)


# ------------------------------------------------------------------------------------- failures


def test_nan_stops_at_once_with_advice() -> None:
    model = small_model(encoder=FailsAfter(5))
    states = train(model, 100, batch_size=32, seed=0)
    seen = [next(states).loss for _ in range(5)]
    kept = weights_of(model)
    with pytest.raises(TrainingDiverged, match=r"step 6.*step 5.*smaller learning rate") as error:
        next(states)
    for advice in ("clip", "batch", "extreme values of x"):
        assert advice in str(error.value)
    assert np.isfinite(seen).all()
    assert equal(kept, weights_of(model))
    assert model.sample(torch.zeros(1, 2), 10).isfinite().all()


def test_an_infinite_gradient_is_caught_as_well() -> None:
    class Steep(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, s: torch.Tensor) -> torch.Tensor:
            return s.clone()

        @staticmethod
        def backward(ctx: object, grad: torch.Tensor) -> torch.Tensor:
            return grad * math.inf

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Steep.apply(self.layer(x.mean(1)))  # type: ignore[no-any-return,no-untyped-call]

    model = small_model(encoder=Encoder())
    with pytest.raises(TrainingDiverged, match="gradient"):
        fit(model, 10, seed=0, **SMALL)
    assert all(v.isfinite().all() for v in model.state_dict().values())


def test_a_checkpoint_is_kept_when_training_diverges(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    model = small_model(encoder=FailsAfter(7))
    with pytest.raises(TrainingDiverged):
        list(train(model, 100, batch_size=32, seed=0, checkpoint=path, checkpoint_every=3))
    healthy = small_model(encoder=FailsAfter(1000))
    assert next(train(healthy, 100, batch_size=32, checkpoint=path, resume=True)).step == 7


def a_run(model: Estimator, steps: int) -> TrainingRun:
    model.standardise(seed=0)
    plan = {"steps": steps, "warmup": 0, "decay": False}
    return TrainingRun(
        model, Simulations(model.problem, torch.device("cpu")), Knobs(batch_size=16), plan, 0
    )


def test_on_a_gpu_a_nan_step_is_skipped_and_reported_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU's code path on the CPU: the optimiser skips by flag; nobody waits for the loss."""
    model = small_model(encoder=FailsAfter(10))
    run = a_run(model, 200)
    monkeypatch.setattr(type(model), "device", property(lambda self: LooksLikeGPU))
    for _ in range(10):
        run.advance()
    weights = run.weights.detach().clone()
    assert weights.isfinite().all()
    for _ in range(39):  # the flag is read at step 50
        assert math.isnan(run.advance().loss)
    assert torch.equal(run.weights.detach(), weights)
    with pytest.raises(TrainingDiverged):
        run.advance()
    assert torch.equal(run.weights.detach(), weights)
    assert all(v.isfinite().all() for v in model.state_dict().values())


def test_on_a_gpu_a_single_nan_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(encoder=FailsAfter(2, once=True))
    run = a_run(model, 20)
    monkeypatch.setattr(type(model), "device", property(lambda self: LooksLikeGPU))
    for _ in range(19):
        run.advance()
    with pytest.raises(TrainingDiverged):  # the last step reads the flag
        run.advance()
    assert run.weights.isfinite().all()


def test_on_a_gpu_healthy_steps_are_the_same_as_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, flagged = small_model(), small_model()
    first, second = a_run(plain, 60), a_run(flagged, 60)
    for _ in range(60):
        first.advance()
    monkeypatch.setattr(type(flagged), "device", property(lambda self: LooksLikeGPU))
    for _ in range(60):
        second.advance()
    assert torch.allclose(first.weights, second.weights, atol=1e-6)


# ---------------------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_in_the_simulator() -> None:
    calls = []

    def simulator(theta: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return theta + torch.randn_like(theta)

    model = small_model(Problem(normal_problem().prior, simulator))
    with pytest.warns(UserWarning, match="interrupted after .* of 100 steps"):
        history = fit(model, 100, seed=0, **SMALL)
    assert history.interrupted
    assert 10 < len(history) < 20
    assert np.isfinite(history.losses).all()
    assert model.sample(torch.zeros(1, 2), 5).isfinite().all()
    assert len(fit(model, 3, seed=0, **SMALL)) == 3  # and it can go on


def test_ctrl_c_between_steps_saves(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"

    def consume(states: Iterator[ds.TrainState]) -> None:
        for state in states:
            if state.step == 7:
                raise KeyboardInterrupt

    states = train(small_model(), 50, batch_size=16, seed=0, checkpoint=path)
    with pytest.raises(KeyboardInterrupt):
        consume(states)
    states.close()  # type: ignore[attr-defined]
    resumed = train(small_model(), 50, batch_size=16, checkpoint=path, resume=True)
    assert next(resumed).step == 8


def interrupting(at: int, times: int = 1) -> Problem:
    """A problem whose simulator gets Ctrl-C in the middle of its `at`-th call, `times` times."""
    calls = []

    def simulator(theta: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        for _ in range(times if len(calls) == at else 0):
            signal.raise_signal(signal.SIGINT)
        return theta + torch.randn_like(theta)

    return Problem(normal_problem().prior, simulator)


def test_ctrl_c_in_a_step_finishes_it_and_saves(tmp_path: Path) -> None:
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    path = tmp_path / "run.safetensors"
    settings: dict[str, Any] = {"seed": 0, "batch_size": 16, "checkpoint": path, "progress": False}
    try:
        with pytest.warns(UserWarning, match="interrupted after"):
            history = fit(small_model(interrupting(at=20)), 40, **settings)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)
    assert history.interrupted
    resumed, whole = (small_model(interrupting(at=10**9)) for _ in range(2))
    rest = fit(resumed, 40, resume=True, **settings)
    assert rest[0].step == len(history) + 1
    fit(whole, 40, seed=0, batch_size=16, progress=False)
    for a, b in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_second_ctrl_c_does_not_wait() -> None:
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    problem = interrupting(at=20, times=2)
    try:
        with pytest.warns(UserWarning, match="interrupted after"):
            history = fit(small_model(problem), 40, seed=0, **SMALL)
        # The step in which it came was given up: one fewer than with a single Ctrl-C.
        with pytest.warns(UserWarning, match="interrupted after"):
            patient = fit(small_model(interrupting(at=20)), 40, seed=0, **SMALL)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert len(patient) == len(history) + 1


def test_ctrl_c_while_summaries_are_made_does_not_wait_for_the_first_step() -> None:
    """Forty calls of the simulator make them; nothing is lost, and the same call trains."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    problem = interrupting(at=8)
    model = small_model(problem)
    settings: dict[str, Any] = {"summaries": 40 * 128, "seed": 0, **SMALL}
    before = [p.clone() for p in model.parameters()]
    try:
        with pytest.warns(UserWarning, match="interrupted after 0 of 3 steps"):
            history = fit(model, 3, **settings)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert (history.interrupted, len(history)) == (True, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert len(fit(model, 3, **settings)) == 3


def test_making_summaries_shows_a_bar_and_counts_as_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def slow(theta: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05)
        return theta + torch.randn_like(theta)

    model = small_model(Problem(normal_problem().prior, slow))
    history = fit(model, 2, summaries=6 * 128, seed=0, batch_size=16)
    assert "summaries: " in capsys.readouterr().err
    assert history[0].seconds > 6 * 0.05
    by_hand = list(train(small_model(model.problem), 2, summaries=6 * 128, seed=0, batch_size=16))
    assert by_hand[0].seconds > 6 * 0.05
    assert by_hand[1].loss == history[1].loss
    assert "summaries" not in capsys.readouterr().err


def test_resuming_with_other_knobs_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    first = train(small_model(), 20, batch_size=16, seed=0, checkpoint=path, checkpoint_every=5)
    for _ in range(5):
        next(first)
    with pytest.warns(UserWarning, match=r"other settings.*lr 0\.006 → 0\.001"):
        train(small_model(), 20, batch_size=16, lr=1e-3, checkpoint=path, resume=True)


INTERRUPTED = """
    import signal, sys, torch, warnings
    import diffsbi_edu as ds
    # What a shell's background job inherits is SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, {tests!r})
    from references import normal_problem, small_model
    torch.set_num_threads(1)
    prior = normal_problem().prior
    calls = []
    def simulator(theta):
        calls.append(1)
        if len(calls) == 30:
            print("going", flush=True)
        return theta + torch.randn_like(theta)
    model = small_model(ds.Problem(prior, simulator))
    warnings.simplefilter("always")
    history = ds.fit(model, 10**7, seed=0, batch_size=32, progress=False)
    ok = history.interrupted and len(history) > 10 and len(history.losses) == len(history)
    ok = ok and bool(model.sample(torch.zeros(1, 2), 5).isfinite().all())
    print("usable" if ok else "broken", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_a_real_ctrl_c(tmp_path: Path) -> None:
    code = textwrap.dedent(INTERRUPTED.format(tests=str(Path(__file__).parent)))
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()  # a child that did not hear must not go on training beside later tests
    assert process.returncode == 0, err
    assert out.strip() == "usable"
    assert "interrupted after" in err


# --------------------------------------------------------------------------- what comes out of it


def test_history_and_states() -> None:
    history = fit(small_model(), 6, seed=0, **SMALL)
    assert history.steps == [1, 2, 3, 4, 5, 6]
    assert not history.interrupted
    assert history.losses == [s.loss for s in history]
    assert history.grad_norms == [s.grad_norm for s in history]
    assert history.val_losses == []
    assert all(s.pairs_per_second > 0 and s.grad_norm > 0 for s in history)
    assert all(a.seconds < b.seconds for a, b in zip(history, history[1:], strict=False))
    last = history[-1]
    assert last.pairs_per_second == pytest.approx(6 * 32 / last.seconds)
    assert "loss_tensor" not in repr(last)
    assert History().losses == []
    assert History().grad_norms == []


def test_the_bar_can_be_turned_off(capfd: pytest.CaptureFixture[str]) -> None:
    fit(small_model(), 3, seed=0, batch_size=8, progress=False)
    quiet = capfd.readouterr()
    assert quiet.out == quiet.err == ""
    fit(small_model(), 3, seed=0, batch_size=8, progress=True)
    shown = capfd.readouterr()
    assert "3/3" in shown.out + shown.err


def test_training_starts_only_when_asked_but_complains_at_once() -> None:
    model = small_model()
    before = weights_of(model)
    states = train(model, 5, batch_size=8, seed=0)
    assert torch.equal(before["denoiser.network.leave.weight"], model.denoiser.network.leave.weight)
    assert next(states).step == 1
    with pytest.raises(ValueError, match="steps must be at least 1"):
        train(model, 0)


def test_training_learns() -> None:
    model = small_model(problems.Gaussian2D(), width=32)
    history = fit(model, 400, seed=0, batch_size=128, progress=False)
    assert np.mean(history.losses[-50:]) < 0.8 * np.mean(history.losses[:10])
    again = fit(model, 50, seed=1, batch_size=128, lr=1e-4, progress=False)
    assert np.mean(again.losses) < 0.8 * np.mean(history.losses[:10])  # goes on from what it knew


def test_the_bar_does_not_flood_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who comes late finds at most 2,000 messages; more, and the last ones are lost."""
    shown = []

    class Counted(tqdm):
        def display(self, *args: Any, **rest: Any) -> bool:
            shown.append(time.perf_counter())
            return True

    monkeypatch.setattr("diffsbi_edu.training.tqdm", Counted)
    start = time.perf_counter()
    fit(small_model(), 1500, seed=0, batch_size=8)
    seconds = time.perf_counter() - start
    assert len(shown) >= 2, "it does move"
    assert len(shown) <= 3 + seconds / 0.5


def test_a_warning_only_when_interrupted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(small_model(schedule=EDM()), 3, seed=0, **SMALL)


def test_budget() -> None:
    assert ds.budget(cpu=3, gpu=7, device="cpu") == 3
    assert ds.budget(cpu=3, gpu=7) == (7 if torch.cuda.is_available() else 3)


@pytest.mark.slow
@pytest.mark.statistical
def test_from_nothing_to_a_good_posterior() -> None:
    """Gaussian2D, a narrow net, 600 steps: C2ST near ½, density near the exact one."""
    problem = problems.Gaussian2D()
    model = small_model(problem, width=64, depth=2)
    fit(model, 600, seed=0, batch_size=512, progress=False)
    scores, errors = [], []
    _, x = problem.sample(2, seed=123, device="cpu")
    for i in range(2):
        exact = problem.posterior(x[i])
        truth = exact.sample((1000,), seed=i)
        scores.append(ds.diagnostics.c2st(model.sample(x[i], 1000, seed=i), truth))
        errors.append(float((model.log_prob(truth, x[i]) - exact.log_prob(truth)).abs().mean()))
    assert np.mean(scores) < 0.56
    assert max(scores) < 0.6
    assert np.mean(errors) < 0.2
    prior = problem.sample_prior(1000, seed=7, device="cpu")
    assert ds.diagnostics.c2st(prior, truth) > 0.7  # the score can tell
