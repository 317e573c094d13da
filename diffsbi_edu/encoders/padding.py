"""Data sets of different lengths in one tensor: zeros at the end, and a mask that says where."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def pad(data: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tensors (N_1, F), (N_2, F), … as x (B, N, F) with N the largest, and mask (B, N).

    The mask is True for real observations. An encoder's summaries of (x, mask) are those of the
    data sets one by one.

    Args:
        data: list of floating-point tensors (N_i, F), with equal F, dtype and device.

    Raises:
        TypeError: `data` is one tensor, or holds something other than floating-point tensors, or
            these differ in dtype or device.
        ValueError: nothing to pad, a tensor that is not (N, F) with N ≥ 1, or different F.

    Example:
        >>> x, mask = pad([torch.ones(2, 1), torch.ones(3, 1)])
        >>> x.shape
        torch.Size([2, 3, 1])
        >>> mask
        tensor([[ True,  True, False],
                [ True,  True,  True]])
    """
    if isinstance(data, torch.Tensor) or not isinstance(data, Sequence):
        raise TypeError(
            f"pad takes a list of tensors (N, F), one for each data set, got {type(data)}."
        )
    if not data:
        raise ValueError("pad got an empty list: there is no data set to pad.")
    for i, x in enumerate(data):
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            what = x.dtype if isinstance(x, torch.Tensor) else type(x)
            raise TypeError(f"pad takes floating-point tensors (N, F); item {i} is {what}.")
        if x.ndim != 2 or 0 in x.shape:
            raise ValueError(
                f"pad takes tensors (N, F) with N ≥ 1 observations; item {i} is {tuple(x.shape)}."
            )
        if x.shape[1] != data[0].shape[1]:
            raise ValueError(
                f"all data sets must have the same number F of features; item 0 has "
                f"{data[0].shape[1]} and item {i} has {x.shape[1]}."
            )
        if x.dtype != data[0].dtype or x.device != data[0].device:
            raise TypeError(
                f"all data sets must share dtype and device; item 0 has {data[0].dtype} on "
                f"{data[0].device} and item {i} {x.dtype} on {x.device}."
            )
    n = torch.tensor([len(x) for x in data], device=data[0].device)
    mask = torch.arange(int(n.max()), device=n.device) < n[:, None]
    return torch.nn.utils.rnn.pad_sequence(list(data), batch_first=True), mask


def check_padding_is_last(mask: torch.Tensor | None) -> None:
    """Raise `ValueError` if a sequence goes on after its padding began."""
    if mask is not None and bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise ValueError(
            "a sequence's padding must come after its last real step, as encoders.pad puts it: "
            "mask has a True after a False. A step that is missing from the middle is something "
            "else: give the model a feature that says so."
        )
