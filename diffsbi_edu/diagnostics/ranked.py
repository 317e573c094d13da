"""What every test that ranks one number per data set has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from diffsbi_edu.diagnostics.uniformity import jittered, neyman


@dataclass(frozen=True)
class RankedResult:
    """Ranks of the truths' scores among those of their posterior draws.

    Attributes:
        ranks: (n_sims,), integers from 0 to `n_samples`; uniform if the posterior is calibrated.
        n_samples: posterior draws for each data set.
        dropped: simulations left out because of NaN or infinite numbers.
    """

    ranks: torch.Tensor
    n_samples: int
    dropped: int = 0

    @property
    def levels(self) -> torch.Tensor:
        """The probabilities k/(n_samples + 1) that this many draws resolve, (n_samples + 2,)."""
        return torch.arange(self.n_samples + 2).double() / (self.n_samples + 1)

    @property
    def share_below(self) -> torch.Tensor:
        """Share of the data sets with a rank below k, (n_samples + 2,): `levels` if calibrated.

        On these points it is unbiased; between them it would not be.
        """
        counts = torch.bincount(self.ranks, minlength=self.n_samples + 1).double()
        return torch.cat([counts.new_zeros(1), counts.cumsum(0) / len(self.ranks)])

    @property
    def p_value(self) -> float:
        """Of Neyman's smooth test that the ranks are uniform."""
        return float(neyman(jittered(self.ranks[:, None], self.n_samples))[0])

    def sizes(self) -> dict[str, Any]:
        """The first lines of every summary."""
        return {
            "n_sims": len(self.ranks),
            "n_samples": self.n_samples,
            "dropped": self.dropped,
        }
