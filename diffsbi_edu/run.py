"""One training run: its weights, optimiser, data and random state, and the step that moves them.

`train` in training.py drives it. Everything a checkpoint must hold for a resumed run to equal an
uninterrupted one, bit for bit, is here.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from diffsbi_edu import checkpoint as files
from diffsbi_edu.data import Simulations
from diffsbi_edu.errors import CheckpointError, TrainingDiverged
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.muon import Muon, matrices_first
from diffsbi_edu.runtime import Seed, fresh_seed, make_generator, randomness_from


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


class TrainingRun:
    """The state of one training run: everything a checkpoint must hold to go on bit for bit."""

    def __init__(
        self,
        model: Estimator,
        source: Simulations,
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
        if source.encoder_rests:
            self.twin.encoder.requires_grad_(False)
        matrices = plan.get("optimiser") == "muon"
        self.weights, self.gradient, shapes = _flatten(self.twin, matrices)
        self.muon = Muon(self.weights, self.gradient, shapes) if shapes else None
        # What is left for Adam: all, or the end of the vector.
        length = sum(map(math.prod, shapes))
        self.rest = nn.Parameter(self.weights[length:])
        self.rest.grad = self.gradient[length:]
        pairs = list(zip(model.parameters(), self.twin.parameters(), strict=True))
        self.averaged = [mine.detach() for mine, twins in pairs if twins.requires_grad]
        self.moving = [twins.detach() for _, twins in pairs if twins.requires_grad]
        # What else training moves: the statistics of a BatchNorm, and other states of an encoder.
        self.statistics = list(zip(model.encoder.buffers(), self.twin.encoder.buffers()))
        self.drops_out = any(
            isinstance(m, _DropoutNd) or getattr(m, "dropout", None) for m in model.modules()
        )
        self.optimiser = torch.optim.Adam([self.rest], lr=knobs.lr, betas=(0.9, 0.99), fused=True)
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
        knobs.check()  # they may have been changed
        theta, x = self.source.batch(knobs.batch_size, self.generator)
        self.gradient.zero_()
        # A Dropout draws from torch's global state, unless told otherwise.
        seeded = randomness_from(self.generator) if self.drops_out else contextlib.nullcontext()
        with seeded:
            loss = self.source.loss(self.twin, theta, x, self.generator)
        loss.backward()
        loss, norm = loss.detach(), self.gradient.norm()
        self._check_finite(loss, norm, theta, x)
        self.gradient.mul_((knobs.clip / (norm + 1e-12)).clamp(max=1.0))
        self.optimiser.param_groups[0]["lr"] = lr = self.learning_rate()
        self.optimiser.step()
        if self.muon is not None:
            self.muon.step(lr)
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
            torch._foreach_lerp_(self.averaged, self.moving, 1 - decay)
            for mine, twins in self.statistics:
                mine.copy_(twins)

    def _check_finite(
        self, loss: torch.Tensor, norm: torch.Tensor, theta: torch.Tensor, x: torch.Tensor
    ) -> None:
        """Stop before a NaN reaches the weights.

        On the CPU the numbers are at hand. On a GPU, waiting for them would empty its queue at
        every step; the optimiser is told, on the device, to skip a non-finite step (the mechanism
        of mixed-precision training), and the flag is read every 50 steps. Muon knows no such
        flag; beside its products, waiting is little.
        """
        finite = torch.isfinite(loss) & torch.isfinite(norm)
        if self.model.device.type != "cpu" and self.muon is None:
            self.finite &= finite
            self.optimiser.found_inf = (~self.finite).float()  # type: ignore[attr-defined]
            self.optimiser.grad_scale = None  # type: ignore[attr-defined]
            if self.step % 50 != 49 and self.step + 1 != self.plan["steps"]:
                return
            finite = self.finite
        if not finite:
            self.source.check(theta, x)
            self.diverged(float(loss))

    def diverged(self, loss: float) -> None:
        raise TrainingDiverged(
            f"the training loss or its gradient became NaN or infinite at step {self.step + 1} "
            f"(loss {loss}); the model keeps the weights of step {self.step}. Try a smaller "
            f"learning rate (now {self.learning_rate():.2g}), a smaller gradient clip (now "
            f"{self.knobs.clip:g}), a larger batch, or look for extreme values of x (a log or rank "
            "transform of the data helps)."
        )

    # --- checkpoints ---

    def _matching(self) -> dict[str, Any]:
        """What must be equal for a resumed run to be the same run."""
        return {**self.model.describe(), "plan": self.plan, "source": self.source.describe()}

    def save(self, path: str | Path) -> None:
        moments = self.optimiser.state[self.rest]
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.source.best_weights.items()}
        tensors |= {
            "weights": self.weights,
            "moment_1": moments["exp_avg"],
            "moment_2": moments["exp_avg_sq"],
            "adam_step": moments["step"],
            "generator": self.generator.get_state(),
        }
        if self.muon is not None:
            tensors["momentum"] = self.muon.momentum
        header = {
            "kind": "training run",
            "run": self._matching(),
            "knobs": asdict(self.knobs),
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
        changed = [
            f"{name} {was} → {now}"
            for name, was in header["knobs"].items()
            if was != (now := getattr(self.knobs, name))
        ]
        if changed:  # allowed, as it is while training runs; but seldom meant
            warnings.warn(
                f"resuming {path} with other settings, so not the same run: {', '.join(changed)}.",
                stacklevel=3,
            )
        model = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        self.model.restore(model, path)
        self.twin.load_state_dict(model)  # buffers; the weights follow
        self.weights.copy_(tensors["weights"])
        if self.muon is not None:
            self.muon.momentum.copy_(tensors["momentum"])
        best = {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
        self.source.restore(header["source"], best)
        device = self.model.device
        self.optimiser.state[self.rest] = {
            "step": tensors["adam_step"].to(device),
            "exp_avg": tensors["moment_1"].to(device),
            "exp_avg_sq": tensors["moment_2"].to(device),
        }
        self.generator.set_state(tensors["generator"])
        self.step, self.seconds, self.pairs = header["progress"]


def _flatten(
    module: nn.Module, matrices: bool
) -> tuple[torch.Tensor, torch.Tensor, list[tuple[int, int, int]]]:
    """Make the trainable weights and their gradients views of one vector each.

    Returns:
        weights and gradient, and (count, rows, columns) of the `matrices` at their start, if asked.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the model has no trainable weights (requires_grad is off everywhere).")
    if len({(p.dtype, p.device) for p in parameters}) > 1:
        raise ValueError(
            "all weights must share one dtype and device; call encoder.float() and let the model "
            "move it."
        )
    shapes: list[tuple[int, int, int]] = []
    if matrices:
        parameters, shapes = matrices_first(parameters)
    weights = torch.cat([p.detach().reshape(-1) for p in parameters])
    gradient = torch.zeros_like(weights)
    sizes = [p.numel() for p in parameters]
    for p, w, g in zip(parameters, weights.split(sizes), gradient.split(sizes), strict=True):
        p.data, p.grad = w.view_as(p), g.view_as(p)
    return weights, gradient, shapes


def _plain(value: Any) -> Any:
    """As JSON would give it back: tuples become lists."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
