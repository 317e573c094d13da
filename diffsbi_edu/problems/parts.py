"""What a `Problem` checks about its parts, and how it brings a prior to a device."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import numpy as np
import torch
from torch.distributions import Distribution

from diffsbi_edu.errors import SimulationError

IN_CACHE = 2**16  # numbers: 256 KiB, of the 1 or 2 MiB that are usual


def checked_n_obs(n_obs: Any) -> int | tuple[int, int] | None:
    """n_obs as None, an int, or (low, high).

    Raises:
        ValueError: anything else, or N below 1.
    """
    if n_obs is None:
        return None
    ends = tuple(n_obs) if isinstance(n_obs, tuple | list) else (n_obs, n_obs)
    whole = len(ends) == 2 and all(isinstance(n, int) for n in ends)
    if not whole or not 1 <= ends[0] <= ends[1]:
        raise ValueError(f"n_obs must be an int ≥ 1 or a range (low, high), got {n_obs!r}.")
    return (ends[0], ends[1]) if isinstance(n_obs, tuple | list) else n_obs


def checked_output(x: Any, theta: torch.Tensor) -> torch.Tensor:
    """What a simulator returned for theta (B, D), as x (B, N, F) float32 on theta's device.

    Raises:
        SimulationError: not numbers, complex ones, or a wrong shape.
    """
    if isinstance(x, np.ndarray) and x.dtype.kind in "fiub":
        x = torch.from_numpy(np.array(x))
    if not isinstance(x, torch.Tensor):
        kind = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else type(x)
        raise SimulationError(
            f"the simulator must return a torch tensor or a NumPy array of numbers, got {kind}; "
            "stack the simulations with torch.stack or numpy.stack."
        )
    if x.ndim not in (2, 3) or len(x) != len(theta) or x.numel() == 0:
        raise SimulationError(
            f"the simulator must return (B, N, F) or (B, F) with B = {len(theta)}, as many rows as "
            f"theta {tuple(theta.shape)}; got {tuple(x.shape)}."
        )
    if x.is_complex():
        raise SimulationError(f"the simulator must return real numbers, got {x.dtype}.")
    x = x.to(theta.device, torch.float32)
    return x[:, None, :] if x.ndim == 2 else x


def in_cache(values: torch.Tensor) -> int:
    """How many rows of values (B, ...) a processor's own cache holds, and some copies of them.

    Going through a large tensor that many rows at a time spares the way to memory and back at each
    step. A GPU is the faster the more it has to do at once: there, all.
    """
    if values.device.type != "cpu":
        return max(1, len(values))
    return max(1, IN_CACHE // max(1, values[:1].numel()))


def moved(value: Any, device: torch.device, memo: dict[int, Any] | None = None) -> Any:
    """A copy of a distribution (or what it is made of) with every tensor on `device`."""
    memo = {} if memo is None else memo
    if id(value) in memo:  # a transform and its inverse refer to each other
        return memo[id(value)]
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(moved(v, device, memo) for v in value)
    if isinstance(value, Distribution | torch.distributions.Transform | torch.nn.Module):
        memo[id(value)] = there = copy.copy(value)
        for key, item in vars(value).items():
            if not isinstance(item, weakref.ref):  # a transform's memory of its inverse
                object.__setattr__(there, key, moved(item, device, memo))
        return there
    return value
