"""The noise that training adds to the parameters, in mirrored pairs."""

from __future__ import annotations

import torch

from diffsbi_edu.schedules import NoiseSchedule


def noised(
    z: torch.Tensor, schedule: NoiseSchedule, draws: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`draws` copies of the clean latents, each with a noise level and noise; half are mirrored.

    Every second copy has the level of another and its noise with the other sign. Where the noise is
    small beside the posterior, z + r·eps and z − r·eps are nearly the same place, and the network's
    answers there nearly the same; but the two targets are nearly −eps and +eps. What a network
    cannot know, the sign, cancels from the sum of their gradients instead of having to average out
    over many steps, and how the answer changes along eps, which is the score, is left. (Antithetic
    variates: Hammersley & Morton 1956, Mathematical Proceedings 52, 449.)

    Args:
        z: clean latents (B, Dz).
        schedule: what to draw noise levels from.
        draws: copies n ≥ 1; of an odd number, one has no mirror image.
        generator: on z's device.

    Returns:
        z (n·B, Dz), r (n·B, 1) and eps (n·B, Dz), copies one after another.

    Example:
        >>> from diffsbi_edu.schedules import EDM
        >>> generator = torch.Generator().manual_seed(0)
        >>> z, ratio, eps = noised(torch.zeros(3, 2), EDM(), 2, generator)
        >>> z.shape, bool((ratio[:3] == ratio[3:]).all()), bool((eps[:3] == -eps[3:]).all())
        (torch.Size([6, 2]), True, True)
    """
    own, mirrored = (draws + 1) // 2 * len(z), draws // 2 * len(z)
    ratio = schedule.training_ratios(own, generator)
    eps = torch.randn(own, z.shape[1], generator=generator, device=z.device)
    ratio, eps = torch.cat([ratio, ratio[:mirrored]]), torch.cat([eps, -eps[:mirrored]])
    return z.repeat(draws, 1), ratio, eps
