"""How the posterior formed: snapshots of a training run, few enough to keep and to replay."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffsbi_edu.widgets.exact import Target


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All a frame shows of one moment of training, so that drawing needs no live model.

    Args:
        step: optimiser steps made.
        target: the observation and its exact posterior.
        theta: learned posterior draws (n, D).
        points: where the scores were taken, in latent space (k, Dz).
        level: the noise-to-signal ratio r of the scores.
        learned: learned denoising displacements E[z | y] − y (k, Dz), the score times r².
        exact: the exact posterior's, None where it is unknown.
    """

    step: int
    target: Target
    theta: torch.Tensor
    points: torch.Tensor
    level: float
    learned: torch.Tensor
    exact: torch.Tensor | None


class SnapshotHistory:
    """Snapshots in order of time; when full, every second one is dropped and the pace halved.

    Args:
        capacity: most snapshots kept.

    Example:
        >>> kept = SnapshotHistory(capacity=4)
        >>> for step in range(10):
        ...     _ = kept.add(step)
        >>> list(kept)
        [0, 4, 8]
    """

    def __init__(self, capacity: int = 240) -> None:
        self._capacity, self._stride, self._seen = capacity, 1, 0
        self._kept: list[Snapshot] = []

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Snapshot:
        return self._kept[index]

    def add(self, snapshot: Snapshot, *, always: bool = False) -> bool:
        """Keep a snapshot if its turn has come (or `always`); returns whether it was kept."""
        take = always or self._seen % self._stride == 0
        self._seen += 1
        if take:
            if len(self._kept) >= self._capacity:
                self._kept, self._stride = self._kept[::2], 2 * self._stride
            self._kept.append(snapshot)
        return take

    def clear(self) -> None:
        """Forget everything."""
        self._kept, self._stride, self._seen = [], 1, 0
