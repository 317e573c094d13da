"""Normal distributions cut off at the faces of a box: the pieces of several exact posteriors."""

from __future__ import annotations

import math

import torch

from diffsbi_edu.runtime import normal_cdf


class BoxNormals:
    """K isotropic normals about one centre, of unlike widths, each truncated to the same box.

    Args:
        centre: (D,), inside the box or not.
        widths: the K sds.
        low, high: the box's faces, (D,) or a number.
    """

    def __init__(
        self,
        centre: torch.Tensor,
        widths: tuple[float, ...],
        low: torch.Tensor | float,
        high: torch.Tensor | float,
    ) -> None:
        self.centre = centre.double()
        self.widths = torch.tensor(widths, dtype=torch.float64)
        self.low = torch.as_tensor(low, dtype=torch.float64).expand_as(self.centre)
        self.high = torch.as_tensor(high, dtype=torch.float64).expand_as(self.centre)
        # Standardised faces, (K, D), reflected where needed so that the box is to the left of a
        # centre outside it: the CDF is accurate in the left tail and rounds to 1 in the right one.
        self._flip = torch.where(self.centre > (self.low + self.high) / 2, 1.0, -1.0).double()
        to_low, to_high = self.low - self.centre, self.high - self.centre
        near, far = (
            torch.where(self._flip > 0, to_high, -to_low),
            torch.where(self._flip > 0, to_low, -to_high),
        )
        self._from = normal_cdf(far / self.widths[:, None])
        self._to = normal_cdf(near / self.widths[:, None])
        #: log of the mass that each normal has inside the box, (K,); −inf where it underflows.
        self.log_mass = (self._to - self._from).log().sum(-1)

    def draw(self, which: torch.Tensor) -> torch.Tensor:
        """One draw from each normal named in `which` (n,): (n, D), in float64."""
        first, last = self._from[which], self._to[which]
        u = torch.rand(len(which), len(self.centre), dtype=torch.float64)
        offset = torch.special.ndtri(first + u * (last - first)) * self.widths[which, None]
        return (self.centre + self._flip * offset).clamp(self.low, self.high)

    def log_normals(self, theta: torch.Tensor) -> torch.Tensor:
        """log densities of the K normals before truncation, at theta (..., D): (..., K)."""
        squared = ((theta - self.centre) ** 2).sum(-1, keepdim=True)
        log_norm = self.widths.log() + 0.5 * math.log(2 * math.pi)
        return -0.5 * squared / self.widths**2 - len(self.centre) * log_norm

    def outside(self, theta: torch.Tensor) -> torch.Tensor:
        """Whether theta (..., D) lies outside the box."""
        return ((theta < self.low) | (theta > self.high)).any(-1)
