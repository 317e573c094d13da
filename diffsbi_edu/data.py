"""Where a training batch comes from: fresh simulations, their summaries, or a fixed set of them."""

from __future__ import annotations

import math
from typing import Any

import torch
from tqdm.auto import tqdm

from diffsbi_edu.encoders.base import whole
from diffsbi_edu.errors import SimulationError
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.problems import Problem
from diffsbi_edu.problems.base import check_simulations
from diffsbi_edu.runtime import make_generator

Pair = tuple[torch.Tensor, torch.Tensor]
VALIDATION_SEED = 20240410  # the same noise at every validation, so that losses can be compared
# Between two updates of a bar. In a notebook each is three messages, of which 2,000 can wait for
# a reader that reads only when the cell is done (as nbval's does): at tqdm's own pace, one minute.
BAR_SECONDS = 0.5
PIECE = 128  # simulations that share one random N, where their summaries are stored


class Simulations:
    """Fresh draws from the problem at every step: an endless data set, nothing to overfit."""

    encoder_rests = False

    def __init__(self, problem: Problem, device: torch.device) -> None:
        self.problem, self.device = problem, device
        self.best_weights: dict[str, torch.Tensor] = {}
        self.exhausted = False
        # Looking for NaN makes a GPU wait; there, training's own check catches them (see training).
        self._check_each = device.type == "cpu"

    def prepare(self, progress: bool) -> None:
        """Nothing to make before the first step."""

    def batch(self, size: int, generator: torch.Generator) -> Pair:
        """`size` joint draws of theta and x."""
        return self.problem.sample(
            size, seed=generator, device=self.device, check_finite=self._check_each
        )

    def loss(
        self, model: Estimator, theta: torch.Tensor, x: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """A model's training loss of a batch."""
        return model.loss(theta, x, generator=generator)

    def check(self, theta: torch.Tensor, x: torch.Tensor) -> None:
        """Raise `SimulationError` if a batch is not finite."""
        check_simulations(theta, x)

    def pilot(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Data to set the units from: none, so that the model runs the simulator."""
        return None, None

    def shuffle_with(self, seed: int) -> None:
        """Nothing to shuffle."""

    def validate(self, model: Estimator, step: int, batch_size: int) -> float | None:
        """No held-out data are needed: every batch is new."""
        return None

    def keep_best(self, model: Estimator) -> None:
        """Nothing to go back to."""

    def describe(self) -> dict[str, Any]:
        """What identifies the data in a checkpoint."""
        return {"kind": "simulations"}

    def state(self) -> dict[str, Any]:
        """No state beyond the generator's."""
        return {}

    def restore(self, state: dict[str, Any], best: dict[str, torch.Tensor]) -> None:
        """Nothing to restore."""


class Summaries(Simulations):
    """Latents and summaries of many simulations, made once; the summary network rests from then on.

    Where data sets are large, simulating and summarising a batch takes several times as long as the
    decoder's step with it. Stored, a pair serves many steps, each time with other noise.

    Args:
        model: made the summaries, with the weights it has at the first batch.
        pairs: how many simulations.

    Raises:
        ValueError: not a whole number, or fewer than 1 pair.
    """

    encoder_rests = True

    def __init__(self, model: Estimator, pairs: int) -> None:
        super().__init__(model.problem, model.device)
        whole(summaries=pairs)
        self._model, self._pairs, self._seed = model, pairs, 0
        self._stored: Pair | None = None

    def shuffle_with(self, seed: int) -> None:
        """What the simulations are made with: a resumed run makes the same ones again."""
        self._seed = seed

    def batch(self, size: int, generator: torch.Generator) -> Pair:
        """z (size, Dz) and s (size, S) of random ones of the stored pairs."""
        self.prepare(progress=False)
        assert self._stored is not None
        z, s = self._stored
        rows = torch.randint(len(s), (size,), generator=generator, device=self.device)
        return z[rows], s[rows]

    def prepare(self, progress: bool) -> None:
        """Make the pairs, unless they are there, with or without a bar."""
        if self._stored is None:
            self._stored = self._made(progress)

    def _made(self, progress: bool) -> Pair:
        generator = make_generator(self._seed, self.device)
        sizes = [len(part) for part in torch.arange(self._pairs).split(PIECE)]
        pairs = []
        bar = tqdm(
            total=self._pairs, disable=not progress, unit="pair", desc="summaries", leave=False,
            mininterval=BAR_SECONDS,
        )  # fmt: skip
        with torch.no_grad(), bar:
            for size in sizes:
                theta, x = self.problem.sample(size, seed=generator, device=self.device)
                pairs.append((self._model.to_latent(theta), self._model.summarise(x)))
                bar.update(size)
        z, s = (torch.cat(each) for each in zip(*pairs, strict=True))
        return z, s

    def loss(
        self, model: Estimator, z: torch.Tensor, s: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        return model.loss_given(z, s, generator=generator)

    def check(self, z: torch.Tensor, s: torch.Tensor) -> None:
        """Nothing to check: the simulations were when they were made."""

    def describe(self) -> dict[str, Any]:
        return {"kind": "summaries", "pairs": self._pairs}

    def state(self) -> dict[str, Any]:
        """What the pairs are made again from, with the model's weights."""
        return {"seed": self._seed}

    def restore(self, state: dict[str, Any], best: dict[str, torch.Tensor]) -> None:
        """Go back to `state`."""
        self._seed, self._stored = state["seed"], None


class FixedData(Simulations):
    """A fixed budget of simulations, shuffled every epoch, a share of it held out.

    Args:
        problem: their problem, for D.
        data: theta (M, D) and x (M, N, F) or (M, F).
        device: where to keep them.
        features: F, the number of features that the model takes.
        validation_fraction: share held out; 0 for none (and no early stopping).
        patience: epochs without improvement of the held-out loss before stopping; None: never stop.

    Raises:
        SimulationError: shapes that do not match the problem or each other; NaN or infinities.
        ValueError: impossible settings, or too few pairs.
    """

    def __init__(
        self,
        problem: Problem,
        data: Pair,
        device: torch.device,
        features: int,
        validation_fraction: float,
        patience: int | None,
    ) -> None:
        super().__init__(problem, device)
        theta, x = (torch.as_tensor(d).to(device, torch.float32) for d in data)
        x = x[:, None, :] if x.ndim == 2 else x
        if theta.ndim != 2 or theta.shape[1] != problem.dim or x.ndim != 3 or len(x) != len(theta):
            raise SimulationError(
                f"data must be theta (M, {problem.dim}) and x (M, N, F) or (M, F) with equal M, "
                f"got {tuple(theta.shape)} and {tuple(x.shape)}."
            )
        if x.shape[2] != features:
            raise SimulationError(
                f"data must have x (M, N, F) with F = {features} features, as the model has, got "
                f"{tuple(x.shape)}."
            )
        check_simulations(theta, x)
        if not 0 <= validation_fraction < 1:
            raise ValueError(f"validation_fraction must be in [0, 1), got {validation_fraction}.")
        if patience is not None and patience < 1:
            raise ValueError(f"patience must be at least 1 epoch or None, got {patience}.")
        n_held = math.ceil(validation_fraction * len(theta))
        if len(theta) - n_held < 1:
            raise ValueError(f"{len(theta)} pairs are too few to hold out {n_held}.")
        self._theta, self._x, self._n_held = theta, x, n_held
        self._patience = patience
        self._seed, self._epoch, self._position = 0, 0, 0
        self._order = torch.empty(0, dtype=torch.int64)
        self._best, self._best_epoch = math.inf, 0

    def shuffle_with(self, seed: int) -> None:
        """Fix the held-out part and the shuffling of every epoch."""
        self._seed = seed
        order = torch.randperm(len(self._theta), generator=make_generator(seed))
        self._held, self._kept = order[: self._n_held], order[self._n_held :]
        self._start_epoch(0)

    def _start_epoch(self, epoch: int) -> None:
        # Each epoch's order follows from (seed, epoch) alone: a resumed run finds it again.
        generator = make_generator(self._seed + 1 + epoch)
        shuffle = torch.randperm(len(self._kept), generator=generator)
        self._order = self._kept[shuffle].to(self.device)
        self._epoch, self._position = epoch, 0

    def batch(self, size: int, generator: torch.Generator) -> Pair:
        """The next `size` pairs of the epoch (fewer at its end)."""
        if self._position >= len(self._order):
            self._start_epoch(self._epoch + 1)
        rows = self._order[self._position : self._position + size]
        self._position += len(rows)
        return self._theta[rows], self._x[rows]

    def pilot(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Units come from the fixed data: the simulator is not called."""
        return self._theta, self._x

    def validate(self, model: Estimator, step: int, batch_size: int) -> float | None:
        """Held-out loss of the averaged weights, once an epoch; decides when to stop."""
        if self._n_held == 0 or self._position < len(self._order):
            return None
        generator = make_generator(VALIDATION_SEED, self.device)
        total = 0.0
        with torch.no_grad():
            for rows in self._held.to(self.device).split(4096):
                loss = model.loss(self._theta[rows], self._x[rows], generator=generator)
                total += float(loss) * len(rows)
        value = total / self._n_held
        if value < self._best:
            self._best, self._best_epoch = value, self._epoch
            self.best_weights = {k: v.clone() for k, v in model.state_dict().items()}
        elif self._patience is not None and self._epoch - self._best_epoch >= self._patience:
            self.exhausted = True
        return value

    def keep_best(self, model: Estimator) -> None:
        """Give the model the weights with the lowest held-out loss."""
        if self.best_weights:
            model.load_state_dict(self.best_weights)

    def describe(self) -> dict[str, Any]:
        """Size and a fingerprint of the data."""
        total = float(self._theta.double().sum() + self._x.double().sum())
        return {"kind": "fixed", "pairs": len(self._theta), "sum": total, "held": self._n_held}

    def state(self) -> dict[str, Any]:
        """Where in which epoch, and the best held-out loss so far."""
        return {
            "seed": self._seed,
            "epoch": self._epoch,
            "position": self._position,
            "best": None if math.isinf(self._best) else self._best,
            "best_epoch": self._best_epoch,
            "exhausted": self.exhausted,
        }

    def restore(self, state: dict[str, Any], best: dict[str, torch.Tensor]) -> None:
        """Go back to `state`."""
        self.shuffle_with(state["seed"])
        self._start_epoch(state["epoch"])
        self._position = state["position"]
        self._best = math.inf if state["best"] is None else state["best"]
        self._best_epoch, self.exhausted = state["best_epoch"], state["exhausted"]
        self.best_weights = best
