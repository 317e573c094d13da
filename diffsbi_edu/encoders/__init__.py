"""Summary networks: data x (B, N, F) of any size → a vector s (B, S) of fixed size.

Which one? It depends on what the order of the observations means, the data's *symmetry*.

- "set" (independent draws; any order is as good): `DeepSets` first; `SetTransformer` where
  observations matter in view of one another; `Statistics` where you know what suffices.
- "sequence" (a time series): `BiLSTM`, the paper's; `GRU`, lighter; `TemporalConv`, the fastest on
  long series; `SequenceTransformer`, for events far apart.
- "fixed" (a vector): `Identity`, what a model has without an encoder.

All are built as ``Encoder(in_features, out_features, ..., seed=)`` and trained along with the
model: ``ConditionalDiffusion(problem, encoder=DeepSets(2, 32))``. They expect x in standardised
units, which the model sees to. A network of your own may be any `nn.Module` from x to s.
"""

from __future__ import annotations

from typing import Any

from diffsbi_edu.encoders.base import Encoder
from diffsbi_edu.encoders.deep_sets import DeepSets
from diffsbi_edu.encoders.identity import Identity
from diffsbi_edu.encoders.padding import pad
from diffsbi_edu.encoders.recurrent import GRU, BiLSTM
from diffsbi_edu.encoders.sequence_transformer import SequenceTransformer
from diffsbi_edu.encoders.set_transformer import SetTransformer
from diffsbi_edu.encoders.statistics import Statistics
from diffsbi_edu.encoders.temporal_conv import TemporalConv
from diffsbi_edu.errors import unknown_name

__all__ = [
    "BiLSTM",
    "DeepSets",
    "Encoder",
    "GRU",
    "Identity",
    "SequenceTransformer",
    "SetTransformer",
    "Statistics",
    "TemporalConv",
    "from_config",
    "pad",
]


def from_config(name: str, config: dict[str, Any]) -> Encoder:
    """An untrained encoder like the one whose class name and `config()` these are.

    Raises:
        ValueError: no encoder of that name.

    Example:
        >>> from_config("DeepSets", DeepSets(2, 16, width=32).config())
        DeepSets(2, 16, width=32)
    """
    if name not in Encoder._classes:
        raise unknown_name("encoder", name, Encoder._classes)
    encoder: Any = Encoder._classes[name]
    rebuilt: Encoder = encoder(**config)
    return rebuilt
