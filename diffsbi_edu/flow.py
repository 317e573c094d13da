"""`ConditionalFlow`: normalizing flows behind the estimators' interface, to compare with.

A flow is an invertible map f(·; s) between the latent z and standard normal noise, so that

    log q(z | s) = log N(f(z; s); 0, I) + log |det ∂f/∂z|,

and maximising it is all of training. The maps are zuko's; ours is what makes the comparison fair:
the same prior transform, standardisation, encoders, training loop and averaged weights as the
diffusion model has.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import zuko
from torch import nn
from zuko.transforms import MonotonicAffineTransform

from diffsbi_edu.errors import unknown_name
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.flow_inverse import noise_to_latent
from diffsbi_edu.problems import Problem
from diffsbi_edu.runtime import Seed, make_generator, randomness_from

#: Each kind of flow, and its default (width, depth).
FLOWS = {"coupling": (32, 32), "maf": (64, 5), "nsf": (64, 5)}
#: What a transform is told of each coordinate: shift and log scale, or a spline's 8 widths, 8
#: heights and 7 slopes.
TOLD = {"coupling": 2, "maf": 2, "nsf": 23}
FLOATS_AT_ONCE = 2**22  # of these, at a time (16 MiB, and some 20 copies): bounds memory


class ConditionalFlow(Estimator):
    """A normalizing flow for theta given s(x), trained jointly with the summary network.

    Args:
        problem: prior and simulator.
        encoder: summary network (B, N, F) → (B, S); None for the data themselves.
        flow: the map.

            - ``"coupling"``: affine couplings, 32 by default, each scaling half of z by factors
              between e^−clamp and e^clamp that depend on the other half (Dinh et al. 2017); the
              flow of the paper.
            - ``"maf"``: masked affine autoregressive layers (Papamakarios et al. 2017).
            - ``"nsf"``: rational-quadratic splines, autoregressive (Durkan et al. 2019); today's
              strong baseline.

        width: units in each of the two hidden layers of every transform; None for the kind's own
            (32, 64, 64).
        depth: number of transforms; None for the kind's own (32, 5, 5).
        clamp: of "coupling": bound of each log scale, approached softly. The paper's code has 0.1,
            which keeps training calm and lets 32 couplings (16 a coordinate) contract a coordinate
            by at most e^1.6 = 5.
        device: "auto", "cpu", "cuda", …
        seed: of the initial weights; None for fresh ones.

    Raises:
        ValueError: an unknown flow or device, width or depth below 1, clamp not positive, or a
            coupling flow of one latent dimension, which has no halves; see also `Estimator`.

    Source: the comparison of Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4.

    Example:
        >>> from diffsbi_edu import fit, problems
        >>> problem = problems.TwoMoons()
        >>> flow = ConditionalFlow(problem, flow="maf", width=16, depth=2, device="cpu", seed=0)
        >>> _ = fit(flow, steps=5, seed=0, progress=False)
        >>> theta, x = problem.sample(1, seed=1, device="cpu")
        >>> flow.sample(x[0], 5, seed=2).shape, flow.log_prob(theta, x[0]).shape
        (torch.Size([5, 2]), torch.Size([1]))
    """

    def __init__(
        self,
        problem: Problem,
        encoder: nn.Module | None = None,
        flow: str = "nsf",
        *,
        width: int | None = None,
        depth: int | None = None,
        clamp: float = 0.1,
        device: str | torch.device = "auto",
        seed: Seed = None,
    ) -> None:
        if flow not in FLOWS:
            raise unknown_name("flow", flow, FLOWS)
        width, depth = (FLOWS[flow][i] if v is None else v for i, v in enumerate((width, depth)))
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, got {width} and {depth}.")
        if not clamp > 0:
            raise ValueError(f"clamp, which bounds a log scale, must be positive, got {clamp}.")
        super().__init__(problem, encoder, device=device)
        if flow == "coupling" and self.latent_dim < 2:
            raise ValueError(
                "a coupling flow transforms one half of the parameters given the other, so it "
                "needs at least 2 latent dimensions, and this problem has 1: use flow='maf' or "
                "flow='nsf', which work for any number."
            )
        self._settings = {"flow": flow, "width": width, "depth": depth, "clamp": float(clamp)}
        sizes = {"features": self.latent_dim, "context": self.summary_dim, "transforms": depth}
        with randomness_from(make_generator(seed)):
            if flow == "coupling":
                # zuko clamps a log scale softly at −log(slope).
                affine = partial(MonotonicAffineTransform, slope=math.exp(-clamp))
                build = partial(zuko.flows.NICE, univariate=affine)
            else:
                build = {"maf": zuko.flows.MAF, "nsf": zuko.flows.NSF}[flow]
            self.flow = build(**sizes, hidden_features=(width, width))
        self.to(self.device)
        self.eval()

    def settings(self) -> dict[str, Any]:
        return dict(self._settings)

    def loss_given(
        self, z: torch.Tensor, s: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Mean of −log q(z | s), in nats, of latents z (B, Dz) given summaries s (B, S).

        `generator` is accepted as everywhere and not used: the loss of a flow has no noise in it.
        """
        log_q: torch.Tensor = self.flow(s).log_prob(z)
        return -log_q.mean()

    def sample(self, x_obs: torch.Tensor, n: int, *, seed: Seed = None) -> torch.Tensor:
        """Posterior draws: (n, D) for x_obs (N, F), (n, B, D) for x_obs (B, N, F).

        Args:
            x_obs: observed data, in the user's units.
            n: number of draws for each data set.
            seed: int, generator on the model's device, or None.

        Raises:
            TypeError, ValueError: a bad x_obs, or n < 1.
        """
        if n < 1:
            raise ValueError(f"n, the number of posterior samples, must be at least 1, got {n}.")
        x, batched = self.check_observation(x_obs)
        generator = make_generator(seed, self.device)
        chunk = self._rows_at_once(x)
        draws = []
        with torch.no_grad():
            s = self.summarise(x)
            for first in range(0, n, chunk):
                shape = (min(chunk, n - first), len(x), self.latent_dim)
                noise = torch.randn(shape, generator=generator, device=self.device)
                draws.append(self.to_latent.inverse(noise_to_latent(self.flow, s, noise)))
        theta = torch.cat(draws)
        return theta if batched else theta[:, 0]

    def _rows_at_once(self, x: torch.Tensor) -> int:
        """Draws for each of the data sets x (B, N, F) that go through the flow at a time."""
        told = TOLD[str(self._settings["flow"])] * self.latent_dim
        return max(1, min(2**15, FLOATS_AT_ONCE // told) // len(x))

    def log_prob(self, theta: torch.Tensor, x_obs: torch.Tensor) -> torch.Tensor:
        """log q(theta | x_obs), exact and in closed form: in nats per unit of theta.

        Args:
            theta: (..., D) for one x_obs (N, F); (..., B, D) for a batch x_obs (B, N, F).
            x_obs: observed data.

        Returns:
            Tensor of theta's shape without its last axis; −inf outside the prior's support.

        Raises:
            TypeError, ValueError: shapes that do not match.
        """
        x, batched = self.check_observation(x_obs)
        rows, outside = self.density_rows(theta, x, batched)
        with torch.no_grad():
            q = self.flow(self.summarise(x))
            parts = [
                q.log_prob(self.to_latent(part)) + self.to_latent.log_abs_det(part)
                for part in rows.split(self._rows_at_once(x))
            ]
        return torch.cat(parts).reshape(outside.shape).masked_fill(outside, -math.inf)
