"""Training: one generator that notebooks, dashboards, tests and benchmarks all drive.

`train` yields a `TrainState` after every optimiser step; `fit` runs it with a progress bar. The
loop needs only ``model.loss(theta, x, generator=…)``: it knows neither diffusion nor flow.

The model you hold contains the running average of the weights (EMA) and can be sampled from at any
moment; the loop moves a private copy. The copy's weights, gradients and optimiser state each live
in one flat vector, so that clipping, Adam and averaging are a few operations each and not hundreds.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from diffsbi_edu import checkpoint as files
from diffsbi_edu.data import FixedData, Simulations
from diffsbi_edu.errors import CheckpointError, TrainingDiverged
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator, resolve_device


@dataclass
class Knobs:
    """What may be changed while training runs; the loop reads it before every step.

    Args:
        lr: peak learning rate.
        batch_size: pairs (theta, x) a step.
        clip: largest gradient norm; larger gradients are scaled down to it.
        ema: averaging factor of the weights; 0 is no averaging.

    Raises:
        ValueError: a value that cannot train anything.
    """

    lr: float = 6e-3
    batch_size: int = 512
    clip: float = 1.0
    ema: float = 0.99

    def check(self) -> None:
        """Raise `ValueError` if a setting is impossible."""
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr, the learning rate, must be positive, got {self.lr}.")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}.")
        if not self.clip > 0:
            raise ValueError(f"clip, the largest gradient norm, must be positive, got {self.clip}.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), got {self.ema}.")


@dataclass(frozen=True)
class TrainState:
    """What is known after a training step. `loss` and `grad_norm` are read when looked at.

    On a GPU the loop does not wait for the numbers it makes; reading them here does.
    """

    step: int
    lr: float
    seconds: float
    pairs_per_second: float
    loss_tensor: torch.Tensor = field(repr=False)
    grad_norm_tensor: torch.Tensor = field(repr=False)
    val_loss: float | None = None

    @property
    def loss(self) -> float:
        """Training loss of this step's batch."""
        return float(self.loss_tensor)

    @property
    def grad_norm(self) -> float:
        """Norm of the gradient before clipping."""
        return float(self.grad_norm_tensor)


class History(list[TrainState]):
    """The `TrainState`s of a run, in order, and whether the run was interrupted."""

    interrupted = False

    @property
    def steps(self) -> list[int]:
        """Step numbers, counted from 1."""
        return [state.step for state in self]

    @property
    def losses(self) -> list[float]:
        """Training losses, one a step."""
        return self._read("loss_tensor")

    @property
    def grad_norms(self) -> list[float]:
        """Gradient norms before clipping, one a step."""
        return self._read("grad_norm_tensor")

    @property
    def val_losses(self) -> list[tuple[int, float]]:
        """(step, held-out loss) wherever it was computed."""
        return [(s.step, s.val_loss) for s in self if s.val_loss is not None]

    def _read(self, name: str) -> list[float]:
        if not self:
            return []
        # One transfer from the device for the whole history, not one a step.
        values: list[float] = torch.stack([getattr(s, name) for s in self]).cpu().tolist()
        return values


def train(
    model: Estimator,
    steps: int = 3000,
    *,
    batch_size: int = 512,
    lr: float = 6e-3,
    warmup: int = 100,
    decay: bool = True,
    clip: float = 1.0,
    ema: float = 0.99,
    knobs: Knobs | None = None,
    data: tuple[torch.Tensor, torch.Tensor] | None = None,
    validation_fraction: float = 0.1,
    patience: int | None = 10,
    seed: Seed = None,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    resume: bool = False,
) -> Iterator[TrainState]:
    """Train `model`; yields a `TrainState` after every step, the model usable at each.

    Adam, with a linear warm-up and a cosine decay of the learning rate to 0, clipped gradients and
    averaged weights. Data are simulated afresh at every step, or drawn from a fixed set.

    Args:
        model: the estimator; trained in place.
        steps: optimiser steps.
        batch_size, lr, clip, ema: see `Knobs`; pass `knobs` instead to change them on the way.
        warmup: steps over which the learning rate rises, at most a tenth of `steps`.
        decay: whether the learning rate falls to 0 along a cosine.
        data: a fixed budget (theta (M, D), x (M, N, F) or (M, F)) instead of the simulator. A share
            `validation_fraction` is held out; training stops once the held-out loss has not
            improved for `patience` epochs (None: never), and the best weights are kept.
        seed: of simulations, noise and shuffling; same seed, same machine, same numbers.
        device: where to train; None for where the model is.
        checkpoint: file to save to every `checkpoint_every` steps and when the loop is left.
        resume: go on from `checkpoint` if it exists, exactly as if never interrupted.

    Raises:
        ValueError: impossible settings.
        SimulationError: the simulator, or `data`, is unusable (NaN, infinite, wrong shapes).
        TrainingDiverged: the loss became NaN or infinite; the model keeps its last good weights.
        CheckpointError: `resume` from a file of another model or other settings.

    Example:
        >>> from diffsbi_edu import ConditionalDiffusion, problems
        >>> model = ConditionalDiffusion(problems.TwoMoons(), width=32, depth=1, device="cpu", seed=0)
        >>> for state in train(model, steps=3, seed=0):
        ...     print(state.step)
        1
        2
        3
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    if checkpoint_every < 1:
        raise ValueError(f"checkpoint_every must be at least 1, got {checkpoint_every}.")
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint=…, the file to go on from.")
    knobs = knobs or Knobs(lr=lr, batch_size=batch_size, clip=clip, ema=ema)
    knobs.check()
    if device is not None:
        model.to(resolve_device(device))
    source: Simulations | FixedData
    if data is not None:
        source = FixedData(model.problem, data, model.device, validation_fraction, patience)
    else:
        source = Simulations(model.problem, model.device)
    plan = {"steps": steps, "warmup": min(warmup, steps // 10), "decay": decay}
    run = _Run(model, source, knobs, plan, seed)
    if resume and Path(str(checkpoint)).is_file():
        run.restore(str(checkpoint))
    return _loop(run, checkpoint, checkpoint_every)


def fit(
    model: Estimator, steps: int = 3000, *, progress: bool = True, **settings: Any
) -> History:
    """Run `train` to its end under a progress bar and return its `History`.

    Ctrl-C (or a notebook's stop button) ends training early, with a warning, and loses nothing: the
    history so far is returned with ``interrupted = True``, and the model has the weights so far.

    Args:
        model, steps, **settings: see `train`.
        progress: whether to show the bar.

    Raises: see `train`.
    """
    history = History()
    states = train(model, steps, **settings)
    bar = tqdm(total=steps, disable=not progress, unit="step")
    try:
        for state in states:
            history.append(state)
            bar.update(state.step - bar.n)
            if progress and state.step % 100 == 0:
                bar.set_postfix(loss=f"{state.loss:.4f}", refresh=False)
    except KeyboardInterrupt:
        history.interrupted = True
        warnings.warn(
            f"training was interrupted after {len(history)} of {steps} steps; the model keeps what "
            "it has learnt.",
            stacklevel=2,
        )
    finally:
        states.close()  # type: ignore[attr-defined]
        bar.close()
    return history


def budget(*, cpu: int, gpu: int, device: str | torch.device = "auto") -> int:
    """A number of training steps to suit the machine: `gpu` where one is found, else `cpu`.

    Example:
        >>> budget(cpu=2000, gpu=20_000, device="cpu")
        2000
    """
    return cpu if resolve_device(device).type == "cpu" else gpu


class _Run:
    """The state of one training run: everything a checkpoint must hold to go on bit for bit."""

    def __init__(
        self,
        model: Estimator,
        source: Simulations | FixedData,
        knobs: Knobs,
        plan: dict[str, Any],
        seed: Seed,
    ) -> None:
        self.model, self.source, self.knobs, self.plan = model, source, knobs, plan
        self.generator = make_generator(seed, model.device)
        if not bool(model.is_standardised):
            model.standardise(*source.pilot(), seed=fresh_seed(self.generator))
        source.shuffle_with(fresh_seed(self.generator))
        self.twin = model.training_copy()
        self.weights, self.gradient = _flatten(self.twin)
        self.averaged = [p for p in model.parameters() if p.requires_grad]
        self.batch_statistics = any(
            isinstance(m, nn.modules.batchnorm._NormBase) for m in model.modules()
        )
        self.optimiser = torch.optim.Adam(
            [self.weights], lr=knobs.lr, betas=(0.9, 0.99), fused=True
        )
        self.step, self.seconds, self.pairs = 0, 0.0, 0
        self.finite = torch.ones((), dtype=torch.bool, device=model.device)

    def learning_rate(self) -> float:
        """Linear warm-up, then cosine decay to 0, for the step about to be made."""
        steps, warmup = self.plan["steps"], self.plan["warmup"]
        lr = self.knobs.lr * min(1.0, (self.step + 1) / (warmup + 1))
        if self.plan["decay"]:
            lr *= 0.5 * (1 + math.cos(math.pi * min(1.0, self.step / steps)))
        return lr

    def advance(self) -> TrainState:
        """One optimiser step."""
        start = time.perf_counter()
        knobs = self.knobs
        theta, x = self.source.batch(knobs.batch_size, self.generator)
        self.gradient.zero_()
        loss = self.twin.loss(theta, x, generator=self.generator)
        loss.backward()  # type: ignore[no-untyped-call]
        loss, norm = loss.detach(), self.gradient.norm()
        self._check_finite(loss, norm, theta, x)
        self.gradient.mul_((knobs.clip / (norm + 1e-12)).clamp(max=1.0))
        self.optimiser.param_groups[0]["lr"] = lr = self.learning_rate()
        self.optimiser.step()
        self._average()
        self.step += 1
        self.pairs += len(theta)
        self.seconds += time.perf_counter() - start
        val_loss = self.source.validate(self.model, self.step, knobs.batch_size)
        return TrainState(
            self.step, lr, self.seconds, self.pairs / self.seconds, loss, norm, val_loss
        )

    def _average(self) -> None:
        """Move the model's weights towards the twin's; early on faster, to forget the start."""
        decay = min(self.knobs.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self._views(), 1 - decay)
            if self.batch_statistics:
                for mine, twins in zip(self.model.buffers(), self.twin.buffers(), strict=True):
                    mine.copy_(twins)

    def _views(self) -> list[torch.Tensor]:
        return [p.detach() for p in self.twin.parameters() if p.requires_grad]

    def _check_finite(
        self, loss: torch.Tensor, norm: torch.Tensor, theta: torch.Tensor, x: torch.Tensor
    ) -> None:
        """Stop before a NaN reaches the weights.

        On the CPU the numbers are at hand. On a GPU, waiting for them would empty its queue at
        every step; the optimiser is told, on the device, to skip a non-finite step (the mechanism
        of mixed-precision training), and the flag is read every 50 steps.
        """
        finite = torch.isfinite(loss) & torch.isfinite(norm)
        if self.model.device.type == "cpu":
            if not finite:
                self.diverged(float(loss))
            return
        self.finite &= finite
        self.optimiser.found_inf = (~self.finite).float()  # type: ignore[attr-defined]
        self.optimiser.grad_scale = None  # type: ignore[attr-defined]
        if self.step % 50 == 49 or self.step + 1 == self.plan["steps"]:
            if self.finite:
                return
            self.source.check(theta, x)
            self.diverged(float(loss))

    def diverged(self, loss: float) -> None:
        raise TrainingDiverged(
            f"the training loss became {loss} at step {self.step + 1}; the model keeps the weights "
            f"of step {self.step}. Try a smaller learning rate (now {self.learning_rate():.2g}), a "
            f"smaller gradient clip (now {self.knobs.clip:g}), a larger batch, or look for extreme "
            "values of x (a log or rank transform of the data helps)."
        )

    # --- checkpoints ---

    def _matching(self) -> dict[str, Any]:
        """What must be equal for a resumed run to be the same run."""
        return {**self.model.describe(), "plan": self.plan, "source": self.source.describe()}

    def save(self, path: str | Path) -> None:
        moments = self.optimiser.state[self.weights]
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.source.best_weights.items()}
        tensors |= {
            "weights": self.weights,
            "moment_1": moments["exp_avg"],
            "moment_2": moments["exp_avg_sq"],
            "adam_step": moments["step"],
            "generator": self.generator.get_state(),
        }
        header = {
            "kind": "training run",
            "run": self._matching(),
            "progress": [self.step, self.seconds, self.pairs],
            "source": self.source.state(),
        }
        files.write(path, tensors, header)

    def restore(self, path: str) -> None:
        tensors, header = files.read(path)
        if header.get("kind") != "training run":
            raise CheckpointError(f"{path} holds a {header.get('kind')!r}, not a training run.")
        mine = _plain(self._matching())
        for key in sorted(mine.keys() | header["run"].keys()):
            if mine.get(key) != header["run"].get(key):
                raise CheckpointError(
                    f"{path} belongs to another run: {key} was {header['run'].get(key)} and is now "
                    f"{mine.get(key)}. Use the same model and settings, or another file."
                )
        model = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        self.model.restore(model, path)
        self.twin.load_state_dict(model)  # buffers; the weights follow
        self.weights.data.copy_(tensors["weights"])
        best = {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
        self.source.restore(header["source"], best)
        device = self.model.device
        self.optimiser.state[self.weights] = {
            "step": tensors["adam_step"].to(device),
            "exp_avg": tensors["moment_1"].to(device),
            "exp_avg_sq": tensors["moment_2"].to(device),
        }
        self.generator.set_state(tensors["generator"])
        self.step, self.seconds, self.pairs = header["progress"]


def _loop(run: _Run, path: str | Path | None, every: int) -> Iterator[TrainState]:
    """Advance until done; what ends the loop at a `yield` finds the run whole and saves it."""
    saved = run.step
    try:
        while run.step < run.plan["steps"] and not run.source.exhausted:
            state = run.advance()
            if path is not None and run.step % every == 0:
                run.save(path)
                saved = run.step
            try:
                yield state
            except GeneratorExit:
                if path is not None and saved != run.step:
                    run.save(path)
                raise
        if path is not None and saved != run.step:
            run.save(path)
    finally:
        run.source.keep_best(run.model)


def _flatten(module: nn.Module) -> tuple[nn.Parameter, torch.Tensor]:
    """Make the trainable weights and their gradients views of one vector each."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the model has no trainable weights (requires_grad is off everywhere).")
    if len({(p.dtype, p.device) for p in parameters}) > 1:
        raise ValueError(
            "all weights must share one dtype and device; call encoder.float() and let the model "
            "move it."
        )
    weights = nn.Parameter(torch.cat([p.detach().reshape(-1) for p in parameters]))
    weights.grad = gradient = torch.zeros_like(weights)
    sizes = [p.numel() for p in parameters]
    for p, w, g in zip(
        parameters, weights.data.split(sizes), gradient.split(sizes), strict=True
    ):
        p.data, p.grad = w.view_as(p), g.view_as(p)
    return weights, gradient


def _plain(value: Any) -> Any:
    """As JSON would give it back: tuples become lists."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
