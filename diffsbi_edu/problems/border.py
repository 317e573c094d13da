"""A map from R^n onto stationary autoregressions that makes room at the border."""

from __future__ import annotations

import torch
from torch.distributions import Transform, biject_to
from torch.distributions import constraints as c

from diffsbi_edu.problems.stationary import Stationary, log_radius, make_stationary, radius

STRETCH = 0.04  # how much longer u gets each time that the distance to the border falls by e
NEAR = 0.006  # the distance, in ln radius, at which that sets in: what one shrinking makes of it
NEAREST = 1e-6  # distance that float32 coefficients keep
SQUARINGS = 24  # for radii to 1e-6
#: Of the search for s: first with cheap radii, from a bracket of 0.35, then with exact ones.
HALVINGS, NEWTON_STEPS = 7, 3
STEP = 1e-4  # along a ray, for a derivative
USUAL_GROWTH = 0.6  # of ln radius with the length of w, at three lags; 1 at one


class StretchTheBorder(Transform):
    """Coefficients (..., p m²) of a stationary series from u in R^n, n = p m², and back.

    Nearly all of the prior lies in a shell, within one shrinking (1 %) of the border beyond which
    series explode. A network's draws are blurred by more than that: half of them would lie beyond
    the border, and shrinking those makes the average draw too small. (So it was: the truth lay
    above 55 % of the draws of a series' own coefficient.) So the shell is made about as thick as
    the blur. With w = artanh(coefficients) and d = −ln radius, the distance to the border,
    u = w e^s is longer than w by

        s = STRETCH · ln(1 + NEAR/d),

    which has no end at d → 0: every u is the image of stationary coefficients. To find them, s is
    searched for along the ray of u. (To float32 there is an end, d = 1e-6: what is beyond it is
    shrunk. Thicker is not better: with STRETCH = 0.1 a diffusion's posteriors came out too wide.)

    The density is exact where the radius is smooth and grows along rays, as it all but always is.
    No gradients go through the search.

    Args:
        shape: (p, m, m).
    """

    domain, bijective = c.real_vector, True
    _largest = 1 - 2.0**-24  # in float32 the last number below 1

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape, self.codomain = shape, Stationary(shape)

    def _coefficients(self, w: torch.Tensor) -> torch.Tensor:
        return w.tanh().reshape(-1, *self.shape)

    def _call(self, u: torch.Tensor) -> torch.Tensor:
        rows = u.nan_to_num(posinf=1e4, neginf=-1e4).clamp(-1e4, 1e4).reshape(-1, u.shape[-1])
        exact = rows.detach().cpu().double()
        w = exact * (-self._longer(exact)).exp()[:, None]
        return make_stationary(w.tanh().to(rows), self.shape).reshape(u.shape)

    def _longer(self, u: torch.Tensor) -> torch.Tensor:
        """s (B,), by how much u (B, n) is longer than the w that it stands for."""
        low = torch.zeros(len(u), dtype=u.dtype)
        high = torch.full_like(low, float(stretch(torch.tensor(NEAREST))))
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            distance = -log_radius(self._coefficients(u * (-middle).exp()[:, None]), SQUARINGS)
            too_long = stretch(distance) < middle  # an s that so far from the border nothing has
            low, high = torch.where(too_long, low, middle), torch.where(too_long, middle, high)
        s, growth = 0.5 * (low + high), torch.full_like(low, USUAL_GROWTH)
        last: tuple[torch.Tensor, torch.Tensor] | None = None
        for _ in range(NEWTON_STEPS):
            now = self._distance(u * (-s).exp()[:, None])
            if last is not None:
                seen = (now - last[1]) / (s - last[0])
                growth = torch.where((seen > 0.1) & (seen < 10.0), seen, growth)
            last = s, now
            # Far from the border for s = stretch(d); near it, where that is all but vertical, for
            # d = distance_of(s).
            wanted, falls = distance_of(s)
            far = (s - stretch(now)) / (1 + growth / falls)
            near = (now - wanted) / (growth + falls)
            s = (s - torch.where(falls > growth, far, near)).clamp_min(0.0)
        return s

    def _distance(self, w: torch.Tensor) -> torch.Tensor:
        return -radius(self._coefficients(w)).log()

    def _inverse(self, value: torch.Tensor) -> torch.Tensor:
        w = self._artanh(value)
        s = stretch(self._distance(w.detach().cpu().double()))
        return w * s.exp().to(w).reshape(*w.shape[:-1], 1)

    def _artanh(self, value: torch.Tensor) -> torch.Tensor:
        return value.clamp(-self._largest, self._largest).atanh()

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """log |det dy/dx| at coefficients y (..., p m²): shape (...).

        Along a ray u = w e^s(w) is stretched by e^s (1 + ds/d ln|w|), across it by e^s.
        """
        w = self._artanh(y)
        rows = w.detach().cpu().double().reshape(-1, w.shape[-1])
        distance = self._distance(rows)
        growth = (self._distance(rows * (1 - STEP)) - distance) / STEP
        along = (slope(distance) * growth).nan_to_num(0.0).clamp_min(0.0)
        stretched = w.shape[-1] * stretch(distance) + torch.log1p(along)
        near = y.clamp(-self._largest, self._largest)
        log_tanh = ((1 - near) * (1 + near)).log().sum(-1)
        return log_tanh - stretched.to(w).reshape(w.shape[:-1])


def stretch(distance: torch.Tensor) -> torch.Tensor:
    """s at a distance d = −ln radius from the border (beyond it: as at the border)."""
    return STRETCH * torch.log1p(NEAR / distance.clamp_min(NEAREST))


def slope(distance: torch.Tensor) -> torch.Tensor:
    """−ds/dd: 0 where s no longer grows."""
    grows = STRETCH * NEAR / (distance * (distance + NEAR))
    return torch.where(distance > NEAREST, grows, 0.0)


def distance_of(s: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The distance d at which s = stretch(d), and −dd/ds there."""
    more = torch.expm1(s.clamp_min(1e-12) / STRETCH)
    return NEAR / more, NEAR * (1 + more) / (STRETCH * more**2)


@biject_to.register(Stationary)
def _stretch_the_border(support: Stationary) -> StretchTheBorder:
    return StretchTheBorder(support.shape)
