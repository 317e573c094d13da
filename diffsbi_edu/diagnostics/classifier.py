"""Many small classifiers trained at once: what the learned tests are made of."""

from __future__ import annotations

import math

import torch
from torch import nn

from diffsbi_edu.runtime import Seed, make_generator

HIDDEN, STEPS, BATCH, LR, DECAY = 32, 300, 1024, 1e-2, 1e-3


def describe(x: torch.Tensor) -> torch.Tensor:
    """Data sets x (B, N, F) as (B, K) numbers that a small network can read.

    Their means, sds, extremes and lag-one products, and log N: of one length whatever N is, since N
    may vary from batch to batch.
    """
    mean, sd = x.mean(1), x.std(1, correction=0)
    centred = x - mean[:, None]
    lagged = (centred[:, 1:] * centred[:, :-1]).sum(1) / x.shape[1]
    log_n = torch.full_like(mean[:, :1], math.log(x.shape[1]))
    return torch.cat([mean, sd, lagged, x.amin(1), x.amax(1), log_n], 1)


class PairFeatures:
    """Pairs (theta, x) as inputs of a classifier: both standardised, and theta's distance from a
    linear guess made of x.

    That distance is what gives away a posterior that is a little off: without it, the network would
    have to learn how theta hangs on x before it could see anything.

    Args:
        theta: (B, D), to set the units by.
        data: (B, K), descriptions of its data sets; see `describe`.
    """

    def __init__(self, theta: torch.Tensor, data: torch.Tensor) -> None:
        self._centre, self._scale = _units(data)
        self._theta_centre, self._theta_scale = _units(theta)
        inputs = self._design(data)
        ridge = 1e-3 * len(inputs) * torch.eye(inputs.shape[1]).to(inputs)
        self._weights = torch.linalg.solve(
            inputs.T @ inputs + ridge, inputs.T @ self._standard(theta)
        )
        self._error = (self._standard(theta) - inputs @ self._weights).std(0).clamp_min(1e-6)

    def _standard(self, theta: torch.Tensor) -> torch.Tensor:
        return (theta - self._theta_centre) / self._theta_scale

    def _design(self, data: torch.Tensor) -> torch.Tensor:
        standard = (data - self._centre) / self._scale
        return torch.cat([standard, torch.ones_like(standard[:, :1])], 1)

    def guess(self, x: torch.Tensor) -> torch.Tensor:
        """The linear guess of theta (B, D), in theta's units."""
        design = self._design(describe(x))
        return self._theta_centre + self._theta_scale * (design @ self._weights)

    def __call__(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """(..., B, K) for theta (..., B, D) and x (B, N, F)."""
        design = self._design(describe(x))
        standard = self._standard(theta)
        off = (standard - design @ self._weights) / self._error
        data = design[:, :-1].expand(*theta.shape[:-1], -1)
        return torch.cat([standard, off.clamp(-10, 10), data], -1)


def _units(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    sd = values.std(0)
    return values.mean(0), torch.where(sd > 0, sd, 1.0)


class Classifiers(nn.Module):
    """`count` networks of two hidden layers, side by side, that see the same inputs.

    Args:
        count: how many networks.
        inputs: numbers in each input row.
        seed: of the weights.
    """

    def __init__(self, count: int, inputs: int, seed: Seed = 0) -> None:
        super().__init__()
        generator = make_generator(seed)
        sizes = (inputs, HIDDEN, HIDDEN, 1)
        self.weights = nn.ParameterList(
            torch.randn(count, a, b, generator=generator) * math.sqrt((2 if b > 1 else 0.1) / a)
            for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.biases = nn.ParameterList(torch.zeros(count, 1, b) for b in sizes[1:])

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Logits (count, R) of rows (R, K)."""
        hidden = rows.expand(len(self.biases[0]), *rows.shape)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if i < 2:
                hidden = nn.functional.silu(hidden)
        return hidden[..., 0]

    def fit(self, rows: torch.Tensor, labels: torch.Tensor, *, seed: Seed = 0) -> Classifiers:
        """Train all networks on rows (R, K), each for its own labels (count, R) in {0, 1}."""
        generator = make_generator(seed, rows.device)
        optimiser = torch.optim.AdamW(self.parameters(), lr=LR, weight_decay=DECAY)
        warm = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=STEPS)
        for _ in range(STEPS):
            pick = torch.randint(len(rows), (BATCH,), generator=generator, device=rows.device)
            logits = self(rows[pick])
            # A sum over networks: each gets the gradient of its own mean loss.
            loss = nn.functional.binary_cross_entropy_with_logits(
                logits, labels[:, pick], reduction="sum"
            )
            optimiser.zero_grad()
            (loss / BATCH).backward()
            optimiser.step()
            warm.step()
        return self
