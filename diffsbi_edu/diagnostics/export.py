"""To ArviZ: posterior draws, predictive draws and calibration ranks under the names it expects."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from diffsbi_edu.diagnostics.draws import check_draws

CHAIN = 0  # amortized draws are independent: one chain


def to_arviz(
    samples: torch.Tensor,
    names: Sequence[str] = (),
    *,
    prior: torch.Tensor | None = None,
    x_obs: torch.Tensor | None = None,
    replicated: torch.Tensor | None = None,
) -> Any:
    """Posterior draws, and what goes with them, as ArviZ's own data object.

    All of ArviZ then works on them: summaries, pair and forest plots, predictive checks. The draws
    are independent, so there is one chain, and R-hat has nothing to say.

    Args:
        samples: posterior draws (n, D) for one x_obs.
        names: of the D parameters, such as ``problem.theta_names``; "theta 1", … if empty.
        prior: prior draws (m, D), for the group ``prior``.
        x_obs: the data (N, F), for the group ``observed_data``.
        replicated: data simulated from posterior draws (n, N, F), for ``posterior_predictive``.

    Returns:
        ``arviz.InferenceData``; from ArviZ 1.0 on an ``xarray.DataTree``.

    Raises:
        ImportError: ArviZ is not installed.
        ValueError: shapes that do not match.

    Example:
        >>> draws = torch.zeros(5, 2)
        >>> to_arviz(draws, ["mean", "sd"])["posterior"]["sd"].shape  # chains, draws
        (1, 5)
    """
    if samples.ndim != 2 or len(samples) < 1:
        raise ValueError(f"samples must be posterior draws (n, D), got {tuple(samples.shape)}.")
    dim = samples.shape[1]
    names = list(names) or [f"theta {i + 1}" for i in range(dim)]
    if len(names) != dim or len(set(names)) != dim:
        raise ValueError(f"names must be {dim} different names, got {names}.")
    groups: dict[str, dict[str, np.ndarray]] = {"posterior": _columns(samples, names)}
    if prior is not None:
        if prior.ndim != 2 or prior.shape[1] != dim:
            raise ValueError(f"prior must be draws (m, {dim}), got {tuple(prior.shape)}.")
        groups["prior"] = _columns(prior, names)
    if replicated is not None:
        if replicated.ndim != 3 or len(replicated) != len(samples):
            raise ValueError(
                f"replicated must be one data set for each draw, ({len(samples)}, N, F), got "
                f"{tuple(replicated.shape)}."
            )
        if x_obs is not None and replicated.shape[1:] != x_obs.shape:
            raise ValueError(
                f"replicated data sets are {tuple(replicated.shape[1:])}, x_obs is "
                f"{tuple(x_obs.shape)}."
            )
        groups["posterior_predictive"] = {"x": _chain(replicated)}
    if x_obs is not None:
        if x_obs.ndim != 2:
            raise ValueError(f"x_obs must be one data set (N, F), got {tuple(x_obs.shape)}.")
        groups["observed_data"] = {"x": x_obs.detach().cpu().numpy()}
    return _from_groups(groups)


def calibration_to_arviz(
    theta: torch.Tensor, samples: torch.Tensor, names: Sequence[str] = ()
) -> Any:
    """Truths and posterior draws of many data sets, as ArviZ's LOO-PIT-like plots want them.

    The truths are the group ``observed_data`` and the draws ``posterior_predictive``, with the data
    sets as the observations: ``arviz.plot_bpv(data, kind="u_value")`` and
    ``arviz_plots.plot_ecdf_pit`` then show what `sbc` tests.

    Args:
        theta: truths (n_sims, D).
        samples: posterior draws (n, n_sims, D).
        names: of the D parameters.

    Raises:
        ImportError: ArviZ is not installed.
        TypeError, ValueError: shapes that do not match.

    Example:
        >>> data = calibration_to_arviz(torch.zeros(7, 1), torch.zeros(5, 7, 1), ["rate"])
        >>> data["posterior_predictive"]["rate"].shape  # chains, draws, data sets
        (1, 5, 7)
    """
    check_draws(theta, samples)
    dim = theta.shape[1]
    names = list(names) or [f"theta {i + 1}" for i in range(dim)]
    if len(names) != dim or len(set(names)) != dim:
        raise ValueError(f"names must be {dim} different names, got {names}.")
    return _from_groups(
        {
            "posterior_predictive": _columns(samples, names),
            "observed_data": {
                name: theta[:, i].detach().cpu().numpy() for i, name in enumerate(names)
            },
        }
    )


def _columns(samples: torch.Tensor, names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: _chain(samples[..., i]) for i, name in enumerate(names)}


def _chain(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()[None]


def _from_groups(groups: Mapping[str, Mapping[str, np.ndarray]]) -> Any:
    try:
        arviz: Any = importlib.import_module("arviz")
    except ImportError:
        raise ImportError(
            "exporting to ArviZ needs the package arviz: pip install 'diffsbi-edu[arviz]'."
        ) from None
    # ArviZ 1.0 takes one nested mapping, older ones a keyword for each group.
    if int(arviz.__version__.split(".")[0]) >= 1:
        return arviz.from_dict({group: dict(values) for group, values in groups.items()})
    return arviz.from_dict(**{group: dict(values) for group, values in groups.items()})
