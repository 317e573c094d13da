"""`load`: a model from its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffsbi_edu import checkpoint, encoders, problems
from diffsbi_edu.encoders import Encoder
from diffsbi_edu.errors import CheckpointError
from diffsbi_edu.estimator import Estimator
from diffsbi_edu.problems import Problem


def load(
    path: str | Path,
    *,
    problem: Problem | None = None,
    encoder: nn.Module | None = None,
    device: str | torch.device = "auto",
) -> Estimator:
    """The model that `save` wrote.

    Args:
        path: the file.
        problem: needed for a custom problem, whose code is not in the file.
        encoder: needed for a summary network of your own; an untrained one of the same shape.
            Those of `diffsbi_edu.encoders` are rebuilt from the file.
        device: where to put the model.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: truncated, edited, foreign, or not matching `problem` or `encoder`.
        ValueError: `problem` or `encoder` is needed and missing.
    """
    tensors, header = checkpoint.read(path)
    if header.get("kind") != "model":
        raise CheckpointError(
            f"{path} holds a {header.get('kind')!r}, not a model; to go on with an interrupted "
            "training use train(model, checkpoint=…, resume=True)."
        )
    described = header["problem"]
    if header["estimator"] not in Estimator._classes:
        raise CheckpointError(f"{path} holds an unknown estimator {header['estimator']!r}.")
    if problem is None:
        if described["config"] is None:
            raise ValueError(
                f"{path} was trained on a custom problem ({described['name']!r}), whose prior and "
                "simulator are code and not in the file: pass problem=…"
            )
        problem = problems.get(described["name"], **_tuples(described["config"]))
    if problem.dim != described["dim"]:
        raise CheckpointError(
            f"{path} was trained with D = {described['dim']} parameters; {problem!r} has "
            f"{problem.dim}."
        )
    encoder = _encoder(path, header["encoder"], encoder)
    model = Estimator._classes[header["estimator"]].from_settings(
        problem, encoder, header["settings"], device
    )
    return model.restore(tensors, path)


def _encoder(
    path: str | Path, described: dict[str, Any] | None, given: nn.Module | None
) -> nn.Module | None:
    """The summary network to load the weights into: the one given, or one built from the file."""
    if described is None:
        return given
    name, config = described["name"], described["config"]
    if given is None and config is None:
        raise ValueError(
            f"{path} has a summary network of your own ({name}), which is code and not in the "
            "file: pass encoder=…"
        )
    if given is None:
        try:
            return encoders.from_config(name, config)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot rebuild its summary network: {error}") from error
    if not isinstance(given, Encoder) or None in (config, given.config()):
        return given  # code, whose shapes at least are compared when the weights are restored
    if (type(given).__name__, given.config()) != (name, config):
        raise CheckpointError(
            f"{path} was saved with the summary network {encoders.from_config(name, config)}, "
            f"not {given}; leave encoder out to have it rebuilt."
        )
    return given


def _tuples(config: dict[str, Any]) -> dict[str, Any]:
    """JSON turned tuples into lists; turn them back."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
