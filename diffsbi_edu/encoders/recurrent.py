"""`BiLSTM` and `GRU`: networks that read a sequence step by step and remember."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from diffsbi_edu.encoders.base import Encoder, whole
from diffsbi_edu.encoders.front import ConvFront
from diffsbi_edu.encoders.pooling import Readout, counts, mean_and_log_sd
from diffsbi_edu.encoders.variogram import series_moments, told_of_series
from diffsbi_edu.runtime import Seed, make_generator, randomness_from


class _Recurrent(Encoder):
    """Convolutions, a recurrent network, and its final states and average output read out."""

    symmetry = "sequence"
    _directions = 1

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 64,
        depth: int = 1,
        stride: int = 4,
        seed: Seed = None,
    ) -> None:
        whole(out_features=out_features, width=width, depth=depth, stride=stride)
        super().__init__(in_features, out_features, width=width, depth=depth, stride=stride)
        outputs = self._directions * width
        with randomness_from(make_generator(seed)):
            self.front = ConvFront(in_features, width, stride)
            self.recurrent = self._network(width, depth)
            self.leave = Readout(told_of_series(in_features), 3 * outputs, out_features, 2 * width)

    def _network(self, width: int, depth: int) -> nn.RNNBase:
        raise NotImplementedError

    def fit_units(self, x: torch.Tensor) -> None:
        self.leave.units.fit(series_moments(*self.prepare(x, None)))

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        x, mask = self.prepare(x, mask)
        h, kept = self.front(x, mask)
        if kept is None:
            outputs, states = self.recurrent(h)
        else:
            # Packed, each sequence ends at its own end: the final states are of its last real step,
            # and the backward direction starts there.
            lengths = counts(h, kept)[:, 0].long().cpu()
            packed = pack_padded_sequence(h, lengths, batch_first=True, enforce_sorted=False)
            packed_outputs, states = self.recurrent(packed)
            outputs, _ = pad_packed_sequence(packed_outputs, True, total_length=h.shape[1])
        final = states[0] if isinstance(states, tuple) else states  # an LSTM also gives its cells
        final = final[-self._directions :].transpose(0, 1).flatten(1)  # of the last layer
        learnt = torch.cat([final, mean_and_log_sd(outputs, kept)], 1)
        s: torch.Tensor = self.leave(series_moments(x, mask), learnt)
        return s


class BiLSTM(_Recurrent):
    """A summary of a sequence: convolutions, then a bidirectional LSTM (the paper's encoder).

    One LSTM reads the series forwards and another backwards; each ends with a state that has seen
    all of it. To these we add mean and log sd of the outputs over time: what a parameter needs is
    often an *average* over the whole series, which a state would have to carry through hundreds of
    steps. Strided convolutions in front make 1,500 steps into 375, each of which knows what its
    neighbourhood looked like: steps of a recurrent network come one after another, and are slow.

    *Symmetry*: sequence. Reordering the steps changes s.

    Args:
        in_features: F.
        out_features: S, length of the summary.
        width: units of the convolutions and of each direction.
        depth: LSTM layers, one above the other.
        stride: how many steps the convolutions make into one; a power of two, 1 for none.
        seed: of the initial weights; None for fresh ones.

    Raises:
        ValueError: sizes below 1, width below 3, a stride that is no power of two; at call time, x
            or mask of a wrong shape, an empty sequence, or padding that is not at the end.
        TypeError: at call time, x not a floating-point tensor, or mask not a boolean one.

    Source: Chen, Bansal & Scott (2024), arXiv 2410.19105, section 4; Hochreiter & Schmidhuber
    (1997); Schuster & Paliwal (1997) for the two directions.

    Example:
        >>> encoder = BiLSTM(1, 8, width=16, seed=0)
        >>> x = torch.linspace(-1, 1, 50).reshape(1, 50, 1)
        >>> encoder(x).shape
        torch.Size([1, 8])
        >>> torch.allclose(encoder(x), encoder(x.flip(1)), atol=1e-3)
        False
    """

    _directions = 2

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 64,
        depth: int = 2,
        stride: int = 4,
        seed: Seed = None,
    ) -> None:
        super().__init__(
            in_features, out_features, width=width, depth=depth, stride=stride, seed=seed
        )

    def _network(self, width: int, depth: int) -> nn.RNNBase:
        return nn.LSTM(width, width, depth, batch_first=True, bidirectional=True)


class GRU(_Recurrent):
    """A summary of a sequence by gated recurrent units, in one direction: `BiLSTM`'s light cousin.

    Two gates in place of three, one layer and one direction: a fraction of the work.

    *Symmetry*: sequence. Reordering the steps changes s.

    Args: as for `BiLSTM`, with one layer by default.

    Raises: as `BiLSTM`.

    Source: Cho et al. (2014), arXiv 1406.1078, equations 5–8.

    Example:
        >>> GRU(1, 8, width=16, seed=0)(torch.ones(3, 20, 1)).shape
        torch.Size([3, 8])
    """

    def _network(self, width: int, depth: int) -> nn.RNNBase:
        return nn.GRU(width, width, depth, batch_first=True)
