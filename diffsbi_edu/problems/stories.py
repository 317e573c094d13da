"""Each built-in problem's story in three sentences: what happens, what is hard, what to see."""

from __future__ import annotations

from diffsbi_edu.errors import unknown_name


def story(name: str) -> str:
    """What happens in a problem, what is unknown and why it is hard, and what to look for.

    Args:
        name: of a built-in problem, in snake case.

    Returns:
        Three sentences, for a student who meets the problem for the first time.

    Raises:
        ValueError: no such problem; the nearest is offered.

    Example:
        >>> print(story("gaussian_2d").split(". ")[0])
        Two numbers are measured at once, and the errors of the two measurements are correlated
    """
    if name not in STORIES:
        raise unknown_name("problem", name, STORIES)
    return " ".join(STORIES[name])


#: Problem → its three sentences.
STORIES: dict[str, tuple[str, str, str]] = {
    "gaussian_2d": (
        "Two numbers are measured at once, and the errors of the two measurements are correlated.",
        "The prior ties the two parameters together as well, and since all is normal the posterior "
        "is known by a formula: the simplest problem on which a method can be found wanting.",
        "Look for one tilted ellipse, narrower than the prior, whose tilt is a compromise between "
        "prior and noise.",
    ),
    "two_moons": (
        "A point on a noisy crescent is moved by theta, but by the size of theta 1 + theta 2 only, "
        "not by its sign.",
        "Theta and its mirror image explain the data equally well, and neither is known to more "
        "than the crescent's thickness of 0.01.",
        "Look for two thin crescents of equal weight with nothing in between: a method that draws "
        "bridges between them, or forgets one, is caught.",
    ),
    "gaussian_mixture_2d": (
        "A point is thrown at theta, half of the time with a wide error and half of the time with "
        "one ten times narrower, and nobody says which.",
        "The centre is the easy part: what is hard is that the posterior has two widths at once "
        "and is cut off at the prior's walls.",
        "Look for a sharp peak in the middle of a broad hump, each holding half of the mass, "
        "wherever the data lie far from a wall.",
    ),
    "witchs_hat": (
        "An instrument shows five numbers with a small error, and now and then shows pure noise "
        "instead.",
        "If the data are good the posterior is a narrow spike, and if they were noise it is the "
        "whole prior, and the height of the spike makes the losses of normalizing flows jump.",
        "Look for the spike at the data while they lie inside the prior's box, and for the flat "
        "brim, the prior itself, a little outside it.",
    ),
    "sum_of_cosines": (
        "One number is seen, a noisy sum of three cosines of two angles.",
        "Whole curves of angles give the same sum, so that one number leaves a pattern behind "
        "instead of a point.",
        "Look for closed rings and bands, which break into islands when the number seen is "
        "extreme.",
    ),
    "dirichlet_multinomial": (
        "Things of five kinds are counted, and only the proportions of the counts are handed on.",
        "The true shares are positive and add up to 1, so that they live on a simplex of one "
        "dimension less, and a method that ignores this leaks out of it.",
        "Look for marginals that are exact beta distributions, and check that every draw adds up "
        "to 1.",
    ),
    "poisson_gamma": (
        "Ten things happen at unknown rates, and each is counted once.",
        "A rate is a smooth number but a count is a small whole one, so that many rates share one "
        "and the same data, and a network that sees all ten counts has to find out that each "
        "speaks for its own rate only.",
        "Look for gamma distributions: wider where more was counted, and leaning against zero "
        "where nothing was.",
    ),
    "species_sampling": (
        "A naturalist notes how many animals of three species she noticed, on a day when the first "
        "species was either easy or hard to see.",
        "Few seen may mean few there or hard to see, and what the day was like is not reported, so "
        "that the posterior has to weigh two stories, while the three shares add up to 1.",
        "Look for a share of species 1 that is wide, skewed, and now and then has two humps.",
    ),
    "socks": (
        "Socks are drawn from a dryer one by one until two of them match, and how many that took "
        "is noted, for each of ten dryers.",
        "One small whole number has to say how full a dryer is, and all dryers share an unknown "
        "proportion of paired socks, which ties their posteriors together.",
        "Look for long tails to the right, and for the more socks the longer it took until two "
        "matched.",
    ),
    "dirichlet_laplace": (
        "A hundred means are each seen once, through noise of a size that is nearly known.",
        "The prior says that most means are all but zero and a few are large, in 102 dimensions of "
        "many orders of magnitude, which makes it the hardest target for a network here.",
        "Look for spikes at zero where the observation was small, for nearly normal humps where it "
        "was large, and for shoulders in between.",
    ),
    "slcp": (
        "Four points of a plane are drawn from a normal distribution.",
        "The likelihood fits on one line, but two of the five parameters enter it squared, so that "
        "their signs are lost, and four points say little about a spread or a correlation.",
        "Look for four modes of equal mass in the two root sds, each skewed and cut off by the "
        "prior's walls.",
    ),
    "linear_gaussian": (
        "Ten sensors along a chain each see a blurred sum of ten parameters.",
        "Smooth combinations of the parameters are known well and differences of neighbours badly, "
        "while everything is normal and known by a formula.",
        "Look for neighbours with strong negative correlations, and for a width that is the same "
        "whatever the data.",
    ),
    "normal_gamma": (
        "Some hundreds of numbers are drawn from one normal distribution.",
        "Its mean and sd are unknown, their exact posterior is known by a formula, and a summary "
        "network has to discover that the mean and the spread of the numbers are all that counts.",
        "Look for a small round hump, narrower the more numbers there are.",
    ),
    "normal_inverse_wishart": (
        "Some hundreds of points in four dimensions are drawn from one normal distribution.",
        "Its mean and covariance are unknown, fourteen numbers in all, and since most matrices are "
        "no covariance the network learns a Cholesky factor, of which every one is.",
        "Look for nearly normal humps, narrower the more points there are, all of them known "
        "exactly.",
    ),
    "g_and_k": (
        "Some hundreds of numbers are drawn from a law that bends a normal number: its location, "
        "scale, skewness and weight of the tails can all be set.",
        "The density has no closed form, and the tails are so heavy that the data are squashed "
        "before any network sees them.",
        "Look for single humps in all four parameters, skewed when the numbers are few, with no "
        "exact posterior to compare with.",
    ),
    "ar1": (
        "A series forgets its past at a constant rate, each value being a share of the last one "
        "plus noise.",
        "The order of the data carries what there is to be learnt, so that a summary network for "
        "sets cannot learn it, and the exact posterior is known.",
        "Look for a well-known phi, and for a mean that is the less known the closer phi is to 1.",
    ),
    "stochastic_volatility": (
        "Returns come in calm and stormy stretches, as on a stock exchange, because their log "
        "variance wanders slowly about a level.",
        "The path of the variance is never seen and the likelihood is an integral over all such "
        "paths, so that level, persistence and restlessness have to be read off the pattern of the "
        "storms.",
        "Look for a level known well, and for a ridge between persistence and restlessness, which "
        "explain one another.",
    ),
    "lotka_volterra": (
        "Prey breed and are eaten, predators eat or starve, and both are counted over time with "
        "errors.",
        "Two lines of mechanism make cycles that no single parameter explains, and only the "
        "counting is random, so that the four rates are known to a percent.",
        "Look for rates in very narrow posteriors, and for a correlation of the counting errors "
        "that is hardly learnt at all.",
    ),
    "markov_switching": (
        "A hidden factor wanders, and a second series follows it with one of two loadings, "
        "switching between them now and then.",
        "Neither the factor nor the regime is ever seen, and the two regimes have names only "
        "because the larger loading is called the first.",
        "Look for two loadings that are known where both regimes were visited, and that fall back "
        "on the prior where the series never left one or the loadings are alike.",
    ),
    "fractional_brownian_motion": (
        "A path wanders roughly or smoothly, as one number, its Hurst exponent, decides, and a "
        "small sine wave is added to it.",
        "Every step depends on the whole past, and the wave is several times smaller than the "
        "path's own wandering.",
        "Look for a Hurst exponent known well, and for amplitude, phase and period that stay near "
        "the prior on a rough path, with islands at periods that happen to fit.",
    ),
    "minnesota_var": (
        "Five series foretell one another, three steps back, in 75 coefficients and 5 sizes of "
        "error.",
        "Eighty parameters can be learnt from a thousand steps because the prior holds most of "
        "them near zero, and it does not allow a series that explodes.",
        "Look for narrow humps near zero far back in time and off the diagonal, and remember that "
        "no picture of two parameters shows whether all eighty are right.",
    ),
}
