"""`Encoder`: what every summary network shares, from checking its input to saying how it was built.

Data x (B, N, F) of any size go in, a vector s (B, S) of fixed size comes out. What a network may
know about its data is their *symmetry*. For a set, s(x) must not depend on the order of the
observations, and a network that cannot depend on it has nothing to unlearn. For a time series the
order is the message.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import torch
from torch import nn

from diffsbi_edu.standardise import soft_clip


class Encoder(nn.Module):
    """Base of the summary networks: s = encoder(x), or s = encoder(x, mask=mask) of padded data.

    Args:
        in_features: F, features of one observation.
        out_features: S, length of the summary; None where it follows from other things.
        settings: further constructor arguments, JSON-able, from which `config` is made.

    Raises:
        ValueError: a size that is not a whole number of at least 1.
    """

    #: "set": the same s for any order of the observations; "sequence": order matters;
    #: "fixed": N is fixed, observation i always means the same thing; None: not known.
    symmetry: str | None
    #: Numbers held for one observation while computing; `Estimator.summarise` bounds memory by it.
    floats_per_observation: int
    _classes: ClassVar[dict[str, type[Encoder]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Only ours can be rebuilt from a file: the code of others is not at hand when loading.
        if cls.__module__.startswith(f"{__package__}.") and not cls.__name__.startswith("_"):
            Encoder._classes[cls.__name__] = cls

    def __init__(self, in_features: int, out_features: int | None, **settings: Any) -> None:
        super().__init__()
        whole(in_features=in_features)
        if out_features is not None:
            whole(out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.floats_per_observation = 4 * max(in_features, int(settings.get("width", 1)))
        self._settings = settings

    def config(self) -> dict[str, Any] | None:
        """JSON-able constructor arguments that rebuild this network; None if there are none.

        There are none where code is an argument, or for a subclass of your own.
        """
        if Encoder._classes.get(type(self).__name__) is not type(self):
            return None
        sizes = {"in_features": self.in_features, "out_features": self.out_features}
        return {**sizes, **self._settings}

    def check(
        self, x: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """x in the weights' dtype, padding zeroed, and the mask; None if nothing is masked.

        Raises:
            TypeError: x is not a floating-point tensor, or mask not a boolean one.
            ValueError: x is not (B, N, F) with N ≥ 1 and this network's F, mask is not (B, N), or
                one of the data sets is masked as a whole.
        """
        if isinstance(x, list | tuple):
            raise TypeError(
                f"x is a {type(x).__name__} of {len(x)} items; put data sets of different lengths "
                "into one tensor first: x, mask = diffsbi_edu.encoders.pad(x), then "
                "encoder(x, mask=mask)."
            )
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            what = x.dtype if isinstance(x, torch.Tensor) else type(x)
            raise TypeError(f"x must be a floating-point torch tensor, got {what}; use x.float().")
        if x.ndim != 3 or x.shape[2] != self.in_features:
            raise ValueError(
                f"{type(self).__name__} takes x (B, N, F) with F = {self.in_features} features, "
                f"got {tuple(x.shape)}."
            )
        if x.shape[1] == 0:
            raise ValueError(
                f"x must have at least N = 1 observation in each data set, got {tuple(x.shape)}."
            )
        weight = next(self.parameters(), None)
        if weight is not None:
            x = x.to(weight.dtype)
        if mask is None:
            return x, None
        if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
            what = mask.dtype if isinstance(mask, torch.Tensor) else type(mask)
            raise TypeError(
                f"mask must be a boolean torch tensor, True for real observations, got {what}."
            )
        if mask.shape != x.shape[:2]:
            raise ValueError(
                f"mask must be (B, N) = {tuple(x.shape[:2])} like x, got {tuple(mask.shape)}."
            )
        mask = mask.to(x.device)
        if mask.all():
            return x, None
        empty = ~mask.any(1)
        if empty.any():
            raise ValueError(
                f"mask has no True in row {int(empty.nonzero()[0, 0])}: a data set needs at least "
                "N = 1 real observation."
            )
        return x.masked_fill(~mask[..., None], 0.0), mask

    def prepare(
        self, x: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """`check`, then `soft_clip`: what a network with weights computes from.

        A value 10 or more standard deviations from the training data's mean comes nearer, so that
        its square cannot overflow; all others are left alone.
        """
        x, mask = self.check(x, mask)
        return soft_clip(x), mask

    def fit_units(self, x: torch.Tensor) -> None:
        """Take units from pilot data x (B, N, F), once; a network without any has none to take."""

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The summary s (B, S) of x (B, N, F); mask (B, N) is True for real observations."""
        raise NotImplementedError

    def __repr__(self) -> str:
        values = [str(self.in_features), str(self.out_features)]
        values += [f"{name}={value!r}" for name, value in self._settings.items()]
        return f"{type(self).__name__}({', '.join(values)})"


def whole(**sizes: int) -> None:
    """Raise `ValueError` naming the first of the sizes that is not an int of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {size!r}.")


def check_heads(width: int, heads: int) -> None:
    """Raise `ValueError` unless the heads of an attention can share its width equally."""
    whole(width=width, heads=heads)
    if width % heads:
        raise ValueError(
            f"width must be a multiple of heads, since each head gets width / heads units; got "
            f"width = {width} and heads = {heads}."
        )


def warn_of_symmetry(encoder: nn.Module, kind: str | None, problem: str) -> None:
    """Warn if what the encoder makes of the order of the data is not what the problem says."""
    assumed = getattr(encoder, "symmetry", None)
    name = type(encoder).__name__
    if (assumed, kind) == ("sequence", "set"):
        advice = (
            "has to learn from examples that the order of independent observations means nothing; "
            "an encoder of symmetry 'set', such as DeepSets, knows"
        )
    elif (assumed, kind) == ("set", "sequence"):
        advice = (
            "cannot see the order of the steps, which is most of what a series says; use an "
            "encoder of symmetry 'sequence', such as BiLSTM"
        )
    else:
        return
    warnings.warn(
        f"{name} has the symmetry {assumed!r}, but the data of {problem!r} are a {kind}: it "
        f"{advice}.",
        stacklevel=4,  # whoever builds the estimator
    )
