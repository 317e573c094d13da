"""How calm a training was, from its losses alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

WINDOW = 20  # steps over which a loss must stay high to count as a jump


def spikes(losses: Sequence[float]) -> tuple[float, bool]:
    """How calm a training was: (worst spike, whether the loss jumped).

    The *worst spike* is the largest rise of a single step's loss above the running median of the 20
    steps before it, in units of all that the run had gained (median loss at the start minus the
    best one): losses of unlike methods have unlike units, this has none. The loss *jumped* if the
    median of 20 steps rose above where training had started, after it had been below; "above" means
    by more than two standard deviations of the first 20 losses, so that noise is no jump. A run
    that never gained anything counts as one that jumped.

    Args:
        losses: one a step; fewer than 40 have neither spike (NaN) nor jump.

    Example:
        >>> calm = [1.0] * 20 + [0.5] * 100
        >>> spikes(calm)
        (0.0, False)
        >>> spikes(calm + [1.5] + [0.5] * 50)
        (2.0, False)
        >>> spikes(calm + [1.5] * 50)
        (2.0, True)
    """
    if len(losses) < 2 * WINDOW:
        return math.nan, False
    values = torch.tensor(list(losses), dtype=torch.float64)
    medians = values.unfold(0, WINDOW, 1).median(-1).values  # medians[i]: steps i … i + 19
    start, best = float(medians[0]), float(medians.min())
    if not start > best:
        return math.inf, True  # nothing was ever gained
    rises = values[WINDOW:] - medians[:-1]
    below = (medians < start - 0.1 * (start - best)).cumsum(0) > 0
    first, third = values[:WINDOW].quantile(torch.tensor([0.25, 0.75], dtype=torch.float64))
    ceiling = start + 2 * (third - first) / 1.35  # quartiles of a normal are 1.35 sds apart
    jumped = bool((below & (medians > ceiling)).any())
    return max(0.0, float(rises.max())) / (start - best), jumped
