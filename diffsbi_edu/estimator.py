"""What every posterior estimator shares: units, summary network, device, saving."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from diffsbi_edu import checkpoint
from diffsbi_edu.encoders import Encoder, Identity
from diffsbi_edu.encoders.base import warn_of_symmetry
from diffsbi_edu.errors import CheckpointError
from diffsbi_edu.problems import Problem
from diffsbi_edu.problems.base import as_observation
from diffsbi_edu.runtime import Seed, resolve_device
from diffsbi_edu.standardise import StandardiseData
from diffsbi_edu.transforms import ToLatent

PILOT_SIMULATIONS = 2048
BYTES_AT_ONCE = 2**28  # of an encoder's activations outside training: 256 MiB
FLOATS_PER_OBSERVATION = 1024  # assumed of a summary network that does not say


class Estimator(nn.Module):
    """Base of `ConditionalDiffusion` (and of any other conditional density of theta given x).

    Everything needed to move between the user's units and the network's lives here as buffers.
    The units are set once, from the data trained on or from 2,048 pilot simulations, at first use.

    Args:
        problem: prior and simulator.
        encoder: summary network, any `nn.Module` from x (B, N, F) to s (B, S); None for the data
            themselves, flattened (fixed N only).
        device: "auto", "cpu", "cuda", …

    Warns:
        UserWarning: the encoder's `symmetry` contradicts the problem's `data_kind`.

    Raises:
        SimulationError: D + 2 trial simulations show that the simulator's output is unusable.
        ValueError: a random number of observations without an encoder, an encoder whose output is
            not (B, S), or an unknown device.
    """

    is_standardised: torch.Tensor
    _classes: ClassVar[dict[str, type[Estimator]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Estimator._classes[cls.__name__] = cls

    def __init__(
        self,
        problem: Problem,
        encoder: nn.Module | None = None,
        *,
        device: str | torch.device = "auto",
    ) -> None:
        super().__init__()
        if not isinstance(problem, Problem):
            raise TypeError(f"problem must be a diffsbi_edu.Problem, got {type(problem)}.")
        target = resolve_device(device)
        self.problem = problem
        # Another number than D, so that axes in the wrong order are noticed.
        _, trial = problem.sample(problem.dim + 2, seed=0, device=target)
        self.features = trial.shape[-1]
        self.custom_encoder = encoder is not None
        if encoder is None:
            if not problem.fixed_n_obs:
                raise ValueError(
                    f"the number of observations of {problem.name!r} varies (n_obs = "
                    f"{problem.n_obs}), so the data need a summary network: pass encoder=…, or fix "
                    "n_obs."
                )
            encoder = Identity(self.features, n_obs=trial.shape[1])
        warn_of_symmetry(encoder, problem.data_kind, problem.name)
        self.encoder = encoder.to(target)
        self.to_latent = ToLatent(problem.prior)
        self.standardise_x = StandardiseData(self.features)
        self.register_buffer("is_standardised", torch.tensor(False))
        self.to(target).eval()  # the trial must not move a BatchNorm, nor draw for a Dropout
        with torch.no_grad():
            s = self.encoder(trial)
        if not isinstance(s, torch.Tensor) or s.ndim != 2 or len(s) != len(trial):
            raise ValueError(
                f"the encoder must map x (B, N, F) = {tuple(trial.shape)} to s (B, S), got "
                f"{tuple(s.shape) if isinstance(s, torch.Tensor) else type(s)}."
            )
        self.summary_dim = s.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.is_standardised.device

    @property
    def latent_dim(self) -> int:
        """Dz, the dimension of the latent z."""
        return self.to_latent.latent_dim

    def standardise(
        self, theta: torch.Tensor | None = None, x: torch.Tensor | None = None, *, seed: Seed = 0
    ) -> Self:
        """Set the units from theta (B, D) and x (B, N, F), or from a pilot run of the simulator."""
        if theta is None or x is None:
            theta, x = self.problem.sample(PILOT_SIMULATIONS, seed=seed, device=self.device)
        self.to_latent.fit(theta.to(self.device))
        self.standardise_x.fit(x.to(self.device))
        if isinstance(self.encoder, Encoder):
            some = self.standardise_x(x[:PILOT_SIMULATIONS].to(self.device))
            self.encoder.fit_units(some)
        self.is_standardised.fill_(True)
        self._units_known = True
        return self

    def _ensure_units(self) -> None:
        # A plain attribute, since reading the buffer would force a GPU to wait at every step.
        if not getattr(self, "_units_known", False):
            if not bool(self.is_standardised):
                self.standardise()
            self._units_known = True

    def summarise(self, x: torch.Tensor) -> torch.Tensor:
        """The summary s (B, S) of data x (B, N, F) in the user's units.

        Outside training (without gradients) at most 256 MiB of activations are made at a time.
        """
        self._ensure_units()
        rows = len(x)
        if not torch.is_grad_enabled() and not self.encoder.training:
            floats = getattr(self.encoder, "floats_per_observation", FLOATS_PER_OBSERVATION)
            rows = max(1, BYTES_AT_ONCE // (4 * floats * x.shape[1]))
        return torch.cat([self.encoder(self.standardise_x(part)) for part in x.split(rows)])

    def check_observation(self, x_obs: Any) -> tuple[torch.Tensor, bool]:
        """x_obs as (B, N, F) on the model's device, and whether a batch was given.

        Raises:
            TypeError, ValueError: see `problems.base.as_observation`.
        """
        if isinstance(x_obs, list | tuple) and any(isinstance(x, torch.Tensor) for x in x_obs):
            raise TypeError(
                f"x_obs must be one tensor (N, F) or (B, N, F), got a {type(x_obs).__name__} of "
                f"{len(x_obs)} tensors: stack data sets of one length with torch.stack, and take "
                "those of different lengths one after another. (For an encoder by itself, "
                "encoders.pad makes one tensor and a mask of them.)"
            )
        return as_observation(x_obs, self.features, self.device)

    def check_theta(self, theta: Any) -> torch.Tensor:
        """theta (..., D) as float32 on the model's device.

        Raises:
            TypeError, ValueError: not a floating-point tensor with D entries in its last axis.
        """
        if not isinstance(theta, torch.Tensor) or not theta.is_floating_point():
            raise TypeError("theta must be a floating-point torch tensor.")
        if theta.ndim == 0 or theta.shape[-1] != self.problem.dim:
            raise ValueError(
                f"theta must have D = {self.problem.dim} entries in its last axis, got "
                f"{tuple(theta.shape)}."
            )
        return theta.to(self.device, torch.float32)

    def density_rows(
        self, theta: Any, x: torch.Tensor, batched: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """theta (..., D) or (..., B, D) as rows (R, B, D), and where it is outside the support.

        Outside, where no latent z exists, the rows hold a point inside instead.
        """
        theta = self.check_theta(theta)
        if batched and (theta.ndim < 2 or theta.shape[-2] != len(x)):
            raise ValueError(
                f"for a batch of {len(x)} data sets theta must be (..., {len(x)}, D), got "
                f"{tuple(theta.shape)}."
            )
        support: Any = self.problem.prior_on(self.device).support
        inside = support.check(theta)
        reference = self.to_latent.inverse(torch.zeros(self.latent_dim, device=self.device))
        theta = torch.where(inside[..., None], theta, reference)
        return theta.reshape(-1, len(x), theta.shape[-1]), ~inside

    def loss(
        self, theta: torch.Tensor, x: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """The training loss of a batch theta (B, D), x (B, N, F), in the user's units: a scalar."""
        return self.loss_given(self.to_latent(theta), self.summarise(x), generator=generator)

    # --- to be filled in by the estimators ---

    def loss_given(
        self, z: torch.Tensor, s: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """The training loss of a batch of latents z (B, Dz) and summaries s (B, S)."""
        raise NotImplementedError

    def sample(self, x_obs: torch.Tensor, n: int, *, seed: Seed = None) -> torch.Tensor:
        """Posterior draws (n, D) for x_obs (N, F), or (n, B, D) for x_obs (B, N, F)."""
        raise NotImplementedError

    def log_prob(self, theta: torch.Tensor, x_obs: torch.Tensor) -> torch.Tensor:
        """log q(theta | x_obs), in nats per unit of theta."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """JSON-able constructor arguments beyond problem and encoder."""
        raise NotImplementedError

    @classmethod
    def from_settings(
        cls, problem: Problem, encoder: nn.Module | None, settings: dict[str, Any], device: Any
    ) -> Self:
        """The inverse of `settings`."""
        return cls(problem, encoder, device=device, **settings)

    # --- training, saving, loading ---

    def training_copy(self) -> Self:
        """A twin with weights of its own, for the training loop to move about.

        The model itself holds the running average of the twin's weights, so it can be sampled from
        at any time, by anyone, while it trains.
        """
        self._ensure_units()
        twin = copy.deepcopy(self, {id(self.problem): self.problem})
        return twin.train()

    def describe(self) -> dict[str, Any]:
        """What a file must say to rebuild this model."""
        config = self.problem.config()
        return {
            "estimator": type(self).__name__,
            "problem": {
                "name": self.problem.name,
                "dim": self.problem.dim,
                "features": self.features,
                "config": config,
            },
            "encoder": {
                "name": type(self.encoder).__name__,
                "config": self.encoder.config() if isinstance(self.encoder, Encoder) else None,
            }
            if self.custom_encoder
            else None,
            "settings": self.settings(),
        }

    def save(self, path: str | Path) -> None:
        """Write the model to a safetensors file, atomically.

        Raises:
            OSError: the folder does not exist or the disk is full; an older file stays intact.
        """
        self._ensure_units()
        checkpoint.write(path, self.state_dict(), {"kind": "model", **self.describe()})

    def restore(self, tensors: dict[str, torch.Tensor], source: str | Path) -> Self:
        """Load tensors saved from an equal model.

        Raises:
            CheckpointError: names or shapes differ, or the prior's bounds do.
        """
        mine = self.state_dict()
        for name in sorted(mine.keys() | tensors.keys()):
            ours, theirs = mine.get(name), tensors.get(name)
            if ours is None or theirs is None or ours.shape != theirs.shape:
                raise CheckpointError(
                    f"{source} was saved from another model: {name} is "
                    f"{'absent' if theirs is None else tuple(theirs.shape)} in the file and "
                    f"{'absent' if ours is None else tuple(ours.shape)} in the model."
                )
            if name.startswith("to_latent.prior.") and not torch.allclose(ours, theirs.to(ours)):
                raise CheckpointError(
                    f"{source} was trained under another prior: {name} is {theirs.tolist()} in the "
                    f"file and {ours.tolist()} in the problem."
                )
        self.load_state_dict(tensors)
        self._units_known = False
        return self
