"""Where numbers are computed (`device`) and where chance comes from (`seed`, generators).

The library never seeds, and never draws from, torch's global random state. Most torch code, however
(every `torch.distributions` prior, most people's simulators), draws from that global state without
asking. `randomness_from` closes the gap: inside it, every random torch operation *of this thread*
draws from a generator of our choice, so a student may write ``torch.randn_like(theta)`` and the run
is still reproducible, with no effect on anybody else's random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from diffsbi_edu.errors import unknown_name

Seed = int | torch.Generator | None


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device a name stands for; ``"auto"`` is a GPU where there is one, else the CPU.

    Raises:
        ValueError: the name is unknown, or names an accelerator that this machine lacks.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        raise unknown_name("device", device, ["auto", "cpu", "cuda", "cuda:0", "mps"]) from None
    if resolved.type not in ("cpu", "cuda", "mps"):
        raise unknown_name("device", device, ["auto", "cpu", "cuda", "cuda:0", "mps"])
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device {str(device)!r} was asked for, but this machine (or this build of torch) has "
            "no CUDA GPU; use device='auto' or 'cpu'."
        )
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {str(device)!r} was asked for, but there are only {torch.cuda.device_count()} "
            "CUDA GPUs (counted from 0)."
        )
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device 'mps' was asked for, but there is none; use 'auto' or 'cpu'.")
    return resolved


def make_generator(seed: Seed = None, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator for `seed`: an int is reproducible, None is fresh, a generator is passed through.

    Args:
        seed: an int, an existing `torch.Generator`, or None for a seed from the operating system.
        device: where the random numbers will be made.

    Raises:
        TypeError: `seed` is something else.

    Example:
        >>> torch.rand(1, generator=make_generator(3)) == torch.rand(1, generator=make_generator(3))
        tensor([True])
    """
    if isinstance(seed, torch.Generator):
        return seed
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__")):
        raise TypeError(f"seed must be an int, a torch.Generator or None, got {seed!r}.")
    generator = torch.Generator(device=device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(int(seed))
    return generator


def normal_cdf(u: torch.Tensor) -> torch.Tensor:
    """Phi(u), with the small numbers of the left tail right, which those of torch's `ndtr` are not.

    Example:
        >>> print(f"{normal_cdf(torch.tensor(-8.0)):.3g}")
        6.22e-16
    """
    return 0.5 * torch.erfc(-u / math.sqrt(2))


def fresh_seed(generator: torch.Generator) -> int:
    """An integer drawn from `generator`, to seed something else with."""
    return int(
        torch.randint(2**62, (1,), generator=generator, device=generator.device, dtype=torch.int64)
    )


class randomness_from(TorchDispatchMode):
    """Context: every random torch operation of this thread draws from `generator`.

    Works by handing `generator=` to each operation that has such an argument, so nothing global is
    touched and threads do not disturb one another. Operations on another device than the
    generator's get a generator of their own, seeded from it.

    Example:
        >>> normal = torch.distributions.Normal(0.0, 1.0)
        >>> with randomness_from(make_generator(0)):
        ...     first = normal.sample((3,))
        >>> with randomness_from(make_generator(0)):
        ...     torch.equal(first, normal.sample((3,)))
        True
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generators = {generator.device.type: generator}
        self._main = generator

    def _for(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Generator:
        device = kwargs.get("device")
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        kind = torch.device(device).type if device is not None else None
        if kind is None:
            kind = tensors[0].device.type if tensors else "cpu"
        if kind not in self._generators:
            self._generators[kind] = make_generator(fresh_seed(self._main), kind)
        return self._generators[kind]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _WITHOUT_GENERATOR:
            return _WITHOUT_GENERATOR[func](self._for(args, kwargs), *args, **kwargs)
        seeded = _seeded_overload(func)
        if seeded is not None and kwargs.get("generator") is None:
            kwargs["generator"] = self._for(args, kwargs)
            return seeded(*args, **kwargs)
        return func(*args, **kwargs)


def nothing_random() -> Any:
    """Context, inside `randomness_from`: nothing here is random, so nobody looks at each operation.

    Looking takes some 5 µs, more than many an operation on a small tensor. What is random all the
    same would draw from torch's global state.

    Example:
        >>> with randomness_from(make_generator(0)), nothing_random():
        ...     print(torch.ones(2) + 1)
        tensor([2., 2.])
    """
    return _disable_current_modes()


def _dropout(
    generator: torch.Generator, values: torch.Tensor, p: float, train: bool | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """`native_dropout`, the GPU's: (values, some of them dropped; a mask of the others)."""
    if train is False:
        return values, torch.ones_like(values, dtype=torch.bool)
    mask = torch.empty_like(values).bernoulli_(1 - p, generator=generator)
    return values * mask * (1 / (1 - p) if p < 1 else 0.0), mask.bool()


def _rand_like(generator: torch.Generator, like: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    return torch.empty_like(like, **kwargs).uniform_(generator=generator)


def _randn_like(generator: torch.Generator, like: torch.Tensor, **kwargs: Any) -> torch.Tensor:
    return torch.empty_like(like, **kwargs).normal_(generator=generator)


#: Random operations that take no generator (the last two do in newer releases of torch only).
_WITHOUT_GENERATOR: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.native_dropout.default: _dropout,
    torch.ops.aten.rand_like.default: _rand_like,
    torch.ops.aten.randn_like.default: _randn_like,
}
_overloads: dict[Any, Callable[..., Any] | None] = {}


def _seeded_overload(func: Any) -> Callable[..., Any] | None:
    """The overload of an operation that takes `generator=`, or None for one that is not random."""
    if func not in _overloads:
        found = None
        if any(a.name == "generator" for a in func._schema.arguments):
            found = func
        else:
            packet = func.overloadpacket
            name = (
                "generator"
                if func._overloadname == "default"
                else f"{func._overloadname}_generator"
            )
            names = (name, name.replace("_dtype_generator", "_generator_dtype"))
            found = next((getattr(packet, n) for n in names if n in packet.overloads()), None)
        _overloads[func] = found
    return _overloads[func]
