"""C2ST: can a classifier tell the model's samples from the exact posterior's?"""

from __future__ import annotations

import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier


def c2st(
    samples: torch.Tensor,
    reference: torch.Tensor,
    *,
    seed: int = 0,
    folds: int = 5,
    max_epochs: int = 1000,
) -> float:
    """Classifier two-sample test: the held-out accuracy of a classifier of the two samples.

    0.5 means that the classifier cannot tell them apart; 1 that it always can. The classifier is a
    scikit-learn MLP with two hidden layers of 10·D units, on data standardised by the reference,
    its accuracy averaged over `folds` cross-validation folds.

    Args:
        samples: draws of one distribution (n, D).
        reference: draws of the other (n, D), as many.
        seed: of the classifier and the folds.
        folds: cross-validation folds.
        max_epochs: most passes over the data in each fit.

    Returns:
        Accuracy in [0, 1].

    Raises:
        ValueError: shapes that differ, fewer than 2·folds rows, or NaN or infinite entries.

    Source: Lopez-Paz & Oquab (2017), arXiv 1610.06545; settings of Lueckmann et al. (2021),
    arXiv 2101.04653, section 2.3.

    Example:
        >>> import torch
        >>> generator = torch.Generator().manual_seed(0)
        >>> a, b = torch.randn(2, 200, 1, generator=generator)
        >>> c2st(a, b + 10.0)
        1.0
    """
    if samples.ndim != 2 or samples.shape != reference.shape:
        raise ValueError(
            "c2st compares two samples of equal shape (n, D), got "
            f"{tuple(samples.shape)} and {tuple(reference.shape)}."
        )
    if len(samples) < 2 * folds:
        raise ValueError(f"c2st needs at least {2 * folds} draws of each, got {len(samples)}.")
    a, b = samples.detach().cpu().double(), reference.detach().cpu().double()
    for what, values in (("samples", a), ("reference", b)):
        if not torch.isfinite(values).all():
            raise ValueError(f"{what} has NaN or infinite entries.")
    mean, sd = b.mean(0), b.std(0)
    scale = torch.where(sd > 0, sd, 1.0)
    features = ((torch.cat([a, b]) - mean) / scale).numpy()
    labels = torch.cat([torch.zeros(len(a)), torch.ones(len(b))]).numpy()
    dim = samples.shape[1]
    classifier = MLPClassifier(
        (10 * dim, 10 * dim), activation="relu", max_iter=max_epochs, random_state=seed
    )
    splits = KFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_val_score(classifier, features, labels, cv=splits, scoring="accuracy")
    return float(scores.mean())
