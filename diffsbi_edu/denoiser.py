"""The denoiser: a network that guesses the clean latent z from z_noisy = alpha·z + sigma·eps and s.

Written in the coordinates y = z_noisy / alpha = z + r·eps, r = sigma/alpha, which are the same for
every schedule. What the raw network predicts is a choice (`prediction`); all four are linear in one
another given y and r, so one network serves them all, and `clean` turns any into a guess of z.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from diffsbi_edu.errors import unknown_name

PREDICTIONS = ("eps", "v", "z", "F")


class ResidualNetwork(nn.Module):
    """A residual MLP over latents, told the noise level and the summary in every block.

    h ← h + W₂ silu(W₁ silu(h) + c_k), with c_k a linear read-out of one small embedding of
    (noise level, s). Last layers start at zero, so that the untrained network outputs 0.

    With a `linear_path`, a ⊙ z + b ⊙ (W s + w) is added to what the layers make of h, with a and b
    linear read-outs of the same embedding. If a posterior is normal with independent coordinates
    and a mean that is linear in s, that is all there is to say, whatever its widths are. Through
    the layers each coordinate of z would have to pass on its way (straight on, it takes two units
    of a layer), and where there are nearly as many as units of a layer, they do not all fit.

    With `zoom`, the first h = W_z z + W_s s is multiplied, unit by unit, by a linear read-out of
    the embedding. At the noise level r of a posterior of width r, the answer turns on whether z is
    left or right of a place that s tells, a difference of r between numbers of size 1: the lower
    the noise, the larger it has to be drawn, and a product does at once what sums and silus of
    layer upon layer only come near.

    Args:
        latent_dim: Dz.
        summary_dim: S.
        width: units per layer.
        depth: number of residual blocks.
        frequencies: number of sine–cosine pairs that encode the noise level.
        linear_path, zoom: see above.

    Raises:
        ValueError: width or depth below 1.
    """

    frequencies: torch.Tensor

    def __init__(
        self,
        latent_dim: int,
        summary_dim: int,
        *,
        width: int = 128,
        depth: int = 3,
        frequencies: int = 16,
        linear_path: bool = False,
        zoom: bool = False,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, got {width} and {depth}.")
        self.register_buffer("frequencies", torch.logspace(0, 5 / math.log(10), frequencies))
        embedding = max(16, width // 2)
        self.embed = nn.Linear(2 * frequencies + summary_dim, embedding)
        self.tell = nn.ModuleList(nn.Linear(embedding, width) for _ in range(depth))
        self.enter_z = nn.Linear(latent_dim, width)
        self.enter_s = nn.Linear(summary_dim, width, bias=False)
        self.first = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.leave = nn.Linear(width, latent_dim)
        last = [*self.second, self.leave]
        self.linear_path = linear_path
        if linear_path:
            self.line = nn.Linear(summary_dim, latent_dim)
            self.gates = nn.Linear(embedding, 2 * latent_dim)
            last.append(self.gates)
        for layer in last:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.zoom = zoom
        if zoom:  # untrained, by 1
            self.gains = nn.Linear(embedding, width)
            nn.init.zeros_(self.gains.weight)
            nn.init.ones_(self.gains.bias)

    def forward(self, z: torch.Tensor, level: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """z (..., Dz), level (..., 1) and s (..., S), broadcast against one another: (..., Dz).

        In sampling, level and s are the same for thousands of rows: they are embedded once.
        """
        phase = level * self.frequencies
        shape = torch.broadcast_shapes(phase.shape[:-1], s.shape[:-1])
        parts = (phase.sin(), phase.cos(), s)
        told = torch.cat([p.expand(*shape, p.shape[-1]) for p in parts], -1)
        told = F.silu(self.embed(told))
        h = self.enter_z(z) + self.enter_s(s)
        if self.zoom:
            h = h * self.gains(told)
        for first, second, tell in zip(self.first, self.second, self.tell, strict=True):
            h = h + second(F.silu(first(F.silu(h)) + tell(told)))
        out: torch.Tensor = self.leave(F.silu(h))
        if self.linear_path:
            of_z, of_s = self.gates(told).chunk(2, -1)
            out = out + of_z * z + of_s * self.line(s)
        return out


class Denoiser(nn.Module):
    """The network and its preconditioning: inputs and targets of size about 1 at every noise level.

    Args:
        network: maps (scaled y, level, s) to a tensor of y's shape.
        prediction: what the network's output means. With y = z + r·eps and d = sigma_data:

            - ``"eps"``: the noise, as in the paper (Chen et al. 2024, equation 5).
            - ``"z"``: the clean latent.
            - ``"v"``: cos φ · eps − sin φ · z with tan φ = r (Salimans & Ho 2022).
            - ``"F"``: Karras et al. (2022), equation 7: z = c_skip y + c_out F. For d = 1 this is
              −v: two papers, one idea.
        sigma_data: d, sd of the clean latents; 1 after standardisation.

    Raises:
        ValueError: unknown prediction, or sigma_data not positive.
    """

    def __init__(self, network: nn.Module, prediction: str = "F", sigma_data: float = 1.0) -> None:
        super().__init__()
        if prediction not in PREDICTIONS:
            raise unknown_name("prediction", prediction, PREDICTIONS)
        if not sigma_data > 0:
            raise ValueError(f"sigma_data must be positive, got {sigma_data}.")
        self.network = network
        self.prediction = prediction
        self.sigma_data = float(sigma_data)

    def output(self, y: torch.Tensor, ratio: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """The raw network output at y (..., Dz), ratio (..., 1), s (..., S)."""
        c_in = (self.sigma_data**2 + ratio**2).rsqrt()
        c_noise = 0.25 * ratio.log()
        out: torch.Tensor = self.network(c_in * y, c_noise, s)
        return out

    def target(self, z: torch.Tensor, eps: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
        """What the output should be, for a clean latent z and noise eps."""
        if self.prediction == "eps":
            return eps
        if self.prediction == "z":
            return z
        if self.prediction == "v":
            return (eps - ratio * z) * (1 + ratio**2).rsqrt()
        c_skip, c_out = self._skip_and_out(ratio)
        return (z - c_skip * (z + ratio * eps)) / c_out

    def clean(self, out: torch.Tensor, y: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
        """The guess of z that a raw output stands for."""
        if self.prediction == "eps":
            return y - ratio * out
        if self.prediction == "z":
            return out
        if self.prediction == "v":
            cos = (1 + ratio**2).rsqrt()
            return cos * (cos * y - ratio * out)
        c_skip, c_out = self._skip_and_out(ratio)
        return c_skip * y + c_out * out

    def forward(self, y: torch.Tensor, ratio: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """The guess of the clean latent, E[z | y, s], of y's shape (..., Dz)."""
        return self.clean(self.output(y, ratio, s), y, ratio)

    def _skip_and_out(self, ratio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        variance = self.sigma_data**2 + ratio**2
        return self.sigma_data**2 / variance, self.sigma_data * ratio * variance.rsqrt()


class IdealDenoiser:
    """The best possible denoiser, E[z | z + r·eps], for a distribution we know.

    Made from a normal distribution it is exact (`gaussian`). Made from draws of z it is exact for
    the cloud of draws: a softmax-weighted mean of them (Karras et al. 2022, equation 57), close to
    the distribution's own as long as r is not below the spacing of the draws.

    Args:
        z: draws (n, Dz) of the clean latent.

    Example:
        >>> ideal = IdealDenoiser(torch.tensor([[-1.0], [1.0]]))
        >>> ideal(torch.tensor([[0.0], [5.0]]), torch.tensor(1.0))
        tensor([[0.0000],
                [0.9999]])
    """

    def __init__(self, z: torch.Tensor) -> None:
        self._z = z
        self._normal: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def gaussian(cls, mean: torch.Tensor, covariance: torch.Tensor) -> IdealDenoiser:
        """For z ~ N(mean (Dz,), covariance (Dz, Dz)): linear regression of z on y."""
        ideal = cls(mean[None])
        ideal._normal = (mean, covariance)
        return ideal

    def __call__(self, y: torch.Tensor, ratio: torch.Tensor | float) -> torch.Tensor:
        """E[z | y] at y (..., Dz) for one noise level r."""
        ratio = torch.as_tensor(ratio, dtype=y.dtype, device=y.device)
        if self._normal is not None:
            mean, covariance = (t.to(y) for t in self._normal)
            noisy = covariance + ratio**2 * torch.eye(len(mean)).to(y)
            return mean + (y - mean) @ torch.linalg.solve(noisy, covariance)
        z = self._z.to(y)
        # Differences, not products of matrices, whose rounding is larger than a small r².
        mode = "donot_use_mm_for_euclid_dist"
        squared = torch.cdist(y.reshape(-1, y.shape[-1]), z, compute_mode=mode) ** 2
        weights = torch.softmax(-0.5 * squared / ratio**2, -1)
        return (weights @ z).reshape(y.shape)

    def score(self, y: torch.Tensor, ratio: torch.Tensor | float) -> torch.Tensor:
        """∇ log p(y) = (E[z | y] − y) / r², Tweedie's formula, at y (..., Dz)."""
        return (self(y, ratio) - y) / torch.as_tensor(ratio, dtype=y.dtype) ** 2
