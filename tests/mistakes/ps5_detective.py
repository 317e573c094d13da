"""Typical mistakes in problem set 5: answer → [(what is written instead, words of the message)]."""

TRUE = """
who = {word: letter for letter, word in zip("ABCDE", me.shuffled("ex5 line-up", WORDS))}
"""
TURN = "\nculprit = {letter: word for word, letter in who.items()}"


def mixed_up(one: str, other: str) -> str:
    """Exercise 5, all named rightly but for two, who are taken for one another."""
    return f"{TRUE}who[{one!r}], who[{other!r}] = who[{other!r}], who[{one!r}]{TURN}"


# Draws of the three samplers that are compared at the end of exercise 5.
DRAWN = """
letters = {word: letter for letter, word in culprit.items()}
exact, narrow, shifted = (
    line_up[letters[word]](x, 400, me.generator(f"ex5 own {word}"))
    for word in ("exact", "too narrow", "shifted")
)
width = (narrow.std(0) / exact.std(0)).mean()
shift = ((shifted.mean(0) - exact.mean(0)) / exact.std(0)).mean()
"""

MISTAKES = {
    "ex1": [
        (
            """
            largest = int(ranks.max())
            share = torch.bincount(ranks).double() / len(ranks)
            return (share.cumsum(0) - torch.arange(1, largest + 2) / (largest + 1)).abs().max()
            """,
            "largest one found",
        ),
        (
            """
            u = (ranks / ranks.max()).sort().values
            i = torch.arange(len(u))
            return torch.maximum(((i + 1) / len(u) - u).max(), (u - i / len(u)).max())
            """,
            "divided by the largest one found",
        ),
        (
            """
            u = (ranks / n_samples).sort().values
            i = torch.arange(len(u))
            return torch.maximum(((i + 1) / len(u) - u).max(), (u - i / len(u)).max())
            """,
            "largest one found nor by 4",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / len(ranks)
            return (share.cumsum(0) - torch.arange(n_samples + 1) / n_samples).abs().max()
            """,
            "k/n_samples",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / len(ranks)
            return (share.cumsum(0) - torch.arange(n_samples + 1) / (n_samples + 1)).abs().max()
            """,
            r"k/\(n_samples \+ 1\)",
        ),
        (
            """
            below = torch.stack([(ranks < k).double().mean() for k in range(n_samples + 1)])
            return (below - torch.arange(1, n_samples + 2) / (n_samples + 1)).abs().max()
            """,
            "those below k",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / len(ranks)
            return (share.cumsum(0) - torch.arange(1, n_samples + 2) / (n_samples + 1)).max()
            """,
            "absolute values",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / len(ranks)
            return (torch.arange(1, n_samples + 2) / (n_samples + 1) - share.cumsum(0)).max()
            """,
            "absolute values",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / len(ranks)
            gap = share.cumsum(0) - torch.arange(1, n_samples + 2) / (n_samples + 1)
            return gap.abs().mean()
            """,
            "average gap",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / len(ranks)
            gap = share.cumsum(0) - torch.arange(1, n_samples + 2) / (n_samples + 1)
            return gap.abs().sum()
            """,
            "adds up all gaps",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / len(ranks)
            gap = share.cumsum(0) - torch.arange(1, n_samples + 2) / (n_samples + 1)
            return gap.square().max()
            """,
            "square",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / len(ranks)
            return (share - 1 / (n_samples + 1)).abs().max()
            """,
            "cumulative",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double()
            return (share.cumsum(0) - torch.arange(1, n_samples + 2) / (n_samples + 1)).abs().max()
            """,
            "share of the data sets",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / n_samples
            return (share.cumsum(0) - torch.arange(1, n_samples + 2) / (n_samples + 1)).abs().max()
            """,
            "not of draws",
        ),
        (
            """
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / (n_samples + 1)
            return (share.cumsum(0) - torch.arange(1, n_samples + 2) / (n_samples + 1)).abs().max()
            """,
            r"not by n_samples \+ 1",
        ),
        (
            """
            share = torch.bincount(ranks).double() / len(ranks)
            return (share.cumsum(0) - torch.arange(1, n_samples + 2) / (n_samples + 1)).abs().max()
            """,
            "count the ranks that nobody has",
        ),
        (
            """
            k, counts = ranks.unique(return_counts=True)
            F = counts.cumsum(0) / len(ranks)
            return (F - (k + 1) / (n_samples + 1)).abs().max()
            """,
            "at a rank that nobody has",
        ),
        (
            """
            ranks.clamp_(max=n_samples - 2)
            share = torch.bincount(ranks, minlength=n_samples + 1).double() / len(ranks)
            return (share.cumsum(0) - torch.arange(1, n_samples + 2) / (n_samples + 1)).abs().max()
            """,
            "largest gap",
        ),
    ],
    "ex1_own": [
        ("limit = torch.special.ndtr(d) - 0.5", "larger elsewhere"),
        ("limit = d", "distance in sds"),
        ("limit = 2 * torch.special.ndtr(d) - 1", "halve d"),
        ("limit = torch.special.ndtr(d / 2) - 0.5", "half of the gap"),
        ("limit = torch.special.ndtr(d / 2**0.5) - 0.5", "average gap"),
        ("limit = d / (2 * math.pi) ** 0.5", "straight line"),
        ("limit = 0.0", "for exact posteriors"),
        ("limit = torch.special.ndtr(d)", "not yet a gap"),
        ("limit = torch.special.ndtr(d / 2)", "between two"),
        ("limit = None", "Not answered"),
        ("limit = 1 - 2 * torch.special.ndtr(d / 2)", "too small"),
        ("limit = 'about 0.4'", "single number"),
        (
            "u = torch.special.ndtr(torch.randn(300_000, generator=generator))\n"
            "limit = ks_distance((u * 1000).long(), 999)",
            "for exact posteriors",
        ),
    ],
    "ex2": [
        (
            """
            draws = flat.reshape(-1, len(theta), theta.shape[1])
            near = ((draws - references) / unit).norm(dim=-1)
            return (near < ((theta - references) / unit).norm(dim=-1)).sum(0)
            """,
            "axes are mixed up",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = (draws - references).norm(dim=-1)
            return (near < (theta - references).norm(dim=-1)).sum(0)
            """,
            "units are not used",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) * unit).norm(dim=-1)
            return (near < ((theta - references) * unit).norm(dim=-1)).sum(0)
            """,
            "multiplies by the unit",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit.sqrt()).norm(dim=-1)
            return (near < ((theta - references) / unit.sqrt()).norm(dim=-1)).sum(0)
            """,
            "root",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit).norm(dim=-1)
            return (near > ((theta - references) / unit).norm(dim=-1)).sum(0)
            """,
            "further away",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit).abs().sum(-1)
            return (near < ((theta - references) / unit).abs().sum(-1)).sum(0)
            """,
            "adds up the coordinates' distances",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit).abs().amax(-1)
            return (near < ((theta - references) / unit).abs().amax(-1)).sum(0)
            """,
            "larger of the coordinates' distances",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit)[..., 0].abs()
            return (near < ((theta - references) / unit)[..., 0].abs()).sum(0)
            """,
            "first coordinate only",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit)[..., -1].abs()
            return (near < ((theta - references) / unit)[..., -1].abs()).sum(0)
            """,
            "last coordinate only",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - theta) / unit).norm(dim=-1)
            return (near < ((references - theta) / unit).norm(dim=-1)).sum(0)
            """,
            "centred on the truth",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            return ((draws / unit).norm(dim=-1) < (theta / unit).norm(dim=-1)).sum(0)
            """,
            "references are not used",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            return ((draws - references).abs() < (theta - references).abs()).all(-1).sum(0)
            """,
            "a box",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit).sum(-1)
            return (near < ((theta - references) / unit).sum(-1)).sum(0)
            """,
            "signed",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit).norm(dim=-1)
            return (near < ((theta - references) / unit).norm(dim=-1)).double().mean(0)
            """,
            "shares",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit).norm(dim=-1)
            return (near < ((theta - references) / unit).norm(dim=-1)).sum(1)
            """,
            "over data sets",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit).norm(dim=-1)
            return (near < ((theta - references) / unit).norm(dim=-1)).float().sum(0)
            """,
            "decimal numbers",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit).norm(dim=-1)
            return (near < ((theta - references) / unit).norm(dim=-1)[0]).sum(0)
            """,
            "data set 0 was used for all",
        ),
        (
            """
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = ((draws - references) / unit).norm(dim=-1)
            return (near <= ((theta - references) / unit).norm(dim=-1)).sum(0) + 1
            """,
            "By hand",
        ),
        (
            """
            flat /= unit
            draws = flat.reshape(len(theta), -1, theta.shape[1]).transpose(0, 1)
            near = (draws - references / unit).norm(dim=-1)
            return (near < ((theta - references) / unit).norm(dim=-1)).sum(0)
            """,
            "in place|Moving|references on the truths|nothing changes",
        ),
    ],
    "ex3": [
        (
            """
            s = draws.sort(0).values
            return ((theta > s[k]) & (theta < s[len(s) - k - 1])).double().mean(0)
            """,
            "positions start at 0",
        ),
        (
            """
            low, high = k / (len(draws) + 1), 1 - k / (len(draws) + 1)
            low, high = draws.quantile(low, 0), draws.quantile(high, 0)
            return ((theta > low) & (theta < high)).double().mean(0)
            """,
            "torch.quantile interpolates",
        ),
        (
            """
            s = draws.sort(0).values
            return ((theta > s[k - 1]) & (theta < s[len(s) - k - 1])).double().mean(0)
            """,
            "ends one draw before",
        ),
        (
            """
            s = draws.sort(0).values
            return ((theta > s[k]) & (theta < s[-k])).double().mean(0)
            """,
            "but ends at the k-th largest",
        ),
        (
            "return ((theta > draws[k - 1]) & (theta < draws[-k])).double().mean(0)",
            "have to be sorted",
        ),
        (
            """
            s = draws.sort(0).values
            return ((theta < s[k - 1]) | (theta > s[-k])).double().mean(0)
            """,
            "outside",
        ),
        (
            "return (theta > draws.sort(0).values[k - 1]).double().mean(0)",
            "only the lower end",
        ),
        (
            "return (theta < draws.sort(0).values[-k]).double().mean(0)",
            "only the upper end",
        ),
        (
            """
            s = draws.sort(0).values
            return ((theta > s[k - 1]) & (theta < s[-k])).double().sum(0)
            """,
            "numbers of data sets",
        ),
        (
            """
            s = draws.sort(0).values
            return ((theta > s[k - 1]) & (theta < s[-k])).double().mean()
            """,
            "their average",
        ),
        (
            """
            s = draws.sort(0).values
            return ((theta > s[k - 1]) & (theta < s[-k])).all(-1).double().mean()
            """,
            "both at once",
        ),
        (
            """
            s = draws.sort(0).values
            return ((theta > s[k - 1]) & (theta < s[-k])).double().mean(1)
            """,
            "not over coordinates",
        ),
        (
            """
            s = draws.sort(0).values
            return ((theta > s[0]) & (theta < s[-1])).double().mean(0)
            """,
            "k is not used",
        ),
        (
            """
            s = draws.sort(0).values
            return ((theta > s[k - 1]) & (theta < s[-1])).double().mean(0)
            """,
            "k-th smallest to the largest",
        ),
        (
            """
            s = draws.sort(0).values
            return ((theta > s[0]) & (theta < s[-k])).double().mean(0)
            """,
            "the smallest to the k-th largest",
        ),
        (
            """
            s = draws[:, 0].sort(0).values
            return ((theta > s[k - 1]) & (theta < s[-k])).double().mean(0)
            """,
            "draws of your own|1 − 2/10|83 data sets",
        ),
        (
            """
            draws[:] = draws.sort(0).values
            return ((theta > draws[k - 1]) & (theta < draws[-k])).double().mean(0)
            """,
            "in place|single memory location",
        ),
    ],
    "ex3_own": [
        ("share = 2 * torch.special.ndtr(1.6449 / c) - 1", "divides by c"),
        ("share = 0.9 * c", "proportional to length"),
        ("share = torch.special.ndtr(1.6449 * c)", "one end only"),
        ("share = 2 * torch.special.ndtr(1.2816 * c) - 1", "80 %"),
        ("share = 2 * torch.special.ndtr(1.96 * c) - 1", "95 % interval"),
        ("share = 0.9", "claims"),
        ("share = 2 - 2 * torch.special.ndtr(1.6449 * c)", "outside"),
        ("share = 2 * torch.special.ndtr(1.6449 * c.sqrt()) - 1", "not of variances"),
        ("share = 2 * torch.special.ndtr(1.6449 * c**2) - 1", "do not square"),
        ("share = torch.special.ndtr(1.6449 * c) - 0.5", "one side of the centre"),
        ("share = None", "Not answered"),
        ("share = torch.tensor([0.6, 0.7])", "single number"),
    ],
    "ex4": [
        (
            """
            d = draws.transpose(0, 1)
            return (draws - theta).norm(dim=-1).mean(0) - torch.cdist(d, d).mean((1, 2)) / 2
            """,
            "itself was counted",
        ),
        (
            """
            n, d = len(draws), draws.transpose(0, 1)
            pairs = torch.cdist(d, d).sum((1, 2)) / (n * (n - 1))
            return (draws - theta).norm(dim=-1).mean(0) - pairs
            """,
            "one half is missing",
        ),
        (
            """
            n, d = len(draws), draws.transpose(0, 1)
            pairs = torch.cdist(d, d).sum((1, 2)) / (n * (n - 1))
            return (draws - theta).norm(dim=-1).mean(0) + pairs / 2
            """,
            "subtracted, not added",
        ),
        ("return (draws - theta).norm(dim=-1).mean(0)", "subtract half"),
        ("return (draws.mean(0) - theta).norm(dim=-1)", "subtract half"),
        (
            """
            n, d = len(draws), draws.transpose(0, 1)
            pairs = torch.cdist(d, d).square().sum((1, 2)) / (n * (n - 1))
            return (draws - theta).square().sum(-1).mean(0) - pairs / 2
            """,
            "squared distances",
        ),
        (
            """
            n, d = len(draws), draws.transpose(0, 1)
            pairs = torch.cdist(d, d, p=1).sum((1, 2)) / (n * (n - 1))
            return (draws - theta).abs().sum(-1).mean(0) - pairs / 2
            """,
            "take the norm",
        ),
        (
            """
            n, d = len(draws), draws.transpose(0, 1)
            pairs = torch.cdist(d, d).triu(1).sum((1, 2)) / (n * (n - 1))
            return (draws - theta).norm(dim=-1).mean(0) - pairs / 2
            """,
            "counted once",
        ),
        (
            """
            n, d = len(draws), draws.transpose(0, 1)
            pairs = torch.cdist(d, d).sum((1, 2)) / (n * (n - 1))
            return pairs / 2 - (draws - theta).norm(dim=-1).mean(0)
            """,
            "sign is turned around",
        ),
        (
            """
            n, d = len(draws), draws.transpose(0, 1)
            pairs = torch.cdist(d, d).sum((1, 2)) / (n * (n - 1))
            return ((draws - theta).norm(dim=-1).mean(0) - pairs / 2).mean()
            """,
            "do not average over them",
        ),
        (
            """
            n, d = len(draws), draws.transpose(0, 1)
            pairs = torch.cdist(d, d).sum((1, 2)) / (n * (n - 1))
            return (draws - theta).norm(dim=-1).sum(0) - pairs / 2
            """,
            "do not add them up",
        ),
        (
            """
            n = len(draws)
            pairs = torch.cdist(draws, draws).sum((1, 2)) / (n * (n - 1))
            return (draws - theta).norm(dim=-1).mean(0) - pairs / 2
            """,
            "size of tensor|data sets, not draws",
        ),
        (
            """
            n, d = len(draws), draws.transpose(0, 1)
            pairs = torch.cdist(d, d).sum((1, 2)) / (n - 1)
            return (draws - theta).norm(dim=-1).mean(0) - pairs / 2
            """,
            "not by n − 1",
        ),
        (
            """
            n, d = len(draws), draws.transpose(0, 1)
            pairs = torch.cdist(d, d).sum((1, 2)) / (n * (n - 1))
            draws -= theta
            return draws.norm(dim=-1).mean(0) - pairs / 2
            """,
            "in place|Moving",
        ),
    ],
    "ex4_own": [
        ("expected_score = 1 / math.pi**0.5", "exact posterior's score"),
        ("expected_score = (2 / math.pi * (1 + wide**2)) ** 0.5", "subtract half"),
        (
            "expected_score = (2 / math.pi * (1 + wide**2)) ** 0.5 - 2 * wide / math.pi**0.5",
            "one half is missing",
        ),
        (
            "expected_score = (2 / math.pi) ** 0.5 * (1 + wide) - wide / math.pi**0.5",
            "adds sds",
        ),
        (
            "expected_score = (2 / math.pi) ** 0.5 * ((1 + wide**2) ** 0.5 - wide / 2)",
            "2c²",
        ),
        (
            "expected_score = (2 / math.pi) ** 0.5 * wide - wide / math.pi**0.5",
            "truth is random",
        ),
        (
            "expected_score = (2 / math.pi) ** 0.5 * (1 + wide**2) - wide / math.pi**0.5",
            "root is missing",
        ),
        (
            "expected_score = (2 / math.pi * (1 + wide**2)) ** 0.5 + wide / math.pi**0.5",
            "not added",
        ),
        ("expected_score = (1 + wide**2) ** 0.5 - wide / 2**0.5", "√\\(2/π\\) is missing"),
        (
            "expected_score = (2 / math.pi * (1 + wide**-2)) ** 0.5 - 1 / (wide * math.pi**0.5)",
            "too narrow",
        ),
        (
            "expected_score = (2 / math.pi * (1 + wide)) ** 0.5 - (wide / math.pi) ** 0.5",
            "not a variance",
        ),
        (
            "expected_score = (2 / math.pi * (1 + wide**2)) ** 0.5 - (1 + wide) / math.pi**0.5",
            "the score itself",
        ),
        ("expected_score = None", "Not answered"),
    ],
    "ex5": [
        (mixed_up("exact", "prior only"), "ignores the data"),
        (mixed_up("exact", "dependence lost"), "TARP does not"),
        (mixed_up("exact", "too narrow"), "too few truths"),
        (mixed_up("exact", "shifted"), "it is shifted"),
        (mixed_up("shifted", "too narrow"), "it is shifted: ranks pile up at one end"),
        (mixed_up("prior only", "dependence lost"), "lost the dependence"),
        (mixed_up("shifted", "dependence lost"), "lost the dependence: SBC"),
        (mixed_up("too narrow", "dependence lost"), "lost the dependence: SBC"),
        (mixed_up("prior only", "shifted"), "it is shifted"),
        (mixed_up("prior only", "too narrow"), "too few truths"),
        ('culprit = {letter: "exact" for letter in "ABCDE"}', "belongs to one letter"),
        ('culprit = ["exact", "too narrow", "shifted", "prior only", "dependence lost"]', "a dict"),
        (TRUE + "culprit = who", "letters A, B, C, D and E"),
        (
            TRUE + "culprit = {letter: word.split()[0] for word, letter in who.items()}",
            "the words are",
        ),
        (
            f"""{TRUE}
            who["exact"], who["prior only"], who["shifted"] = (
                who["prior only"], who["shifted"], who["exact"]
            ){TURN}""".replace("\n            ", "\n"),
            "ignores the data",
        ),
    ],
    "ex5_own": [
        (DRAWN + "width = (narrow.var(0) / exact.var(0)).mean()", "ratio of variances"),
        (DRAWN + "width = (exact.std(0) / narrow.std(0)).mean()", "upside down"),
        (DRAWN + "width = 1 - width", "by how much"),
        (DRAWN + "width = narrow.std((0, 1)).mean() / exact.std((0, 1)).mean()", "pools"),
        (DRAWN + "width = narrow.std() / exact.std()", "pools"),
        (DRAWN + "width = narrow.std(0).mean()", "the sd itself"),
        (DRAWN + "width = narrow.var(0).mean()", "prior's variance"),
        (DRAWN + "width = 1 - narrow.var(0).mean()", "contraction"),
        (DRAWN + "width = (exact.std(0) / exact.std(0)).mean()", "with itself"),
        (DRAWN + "width = narrow.std(0) / exact.std(0)", "single number"),
        (DRAWN + "shift = -shift", "sign is turned around"),
        (DRAWN + "shift = (shifted - exact).mean()", "theta's own units"),
        (DRAWN + "shift = ((shifted.mean(0) - exact.mean(0)) / exact.var(0)).mean()", "variance"),
        (
            DRAWN + "shift = ((shifted.mean(0) - exact.mean(0)) / exact.std(0)).sum(-1).mean()",
            "sum over both",
        ),
        (
            DRAWN
            + "shift = ((shifted.mean(0) - exact.mean(0)) / exact.std(0)).norm(dim=-1).mean()",
            "length of the shift",
        ),
        (DRAWN + "shift = None", "Not answered"),
        (DRAWN + "shift = ((exact.mean(0) - exact.mean(0)) / exact.std(0)).mean()", "no shift"),
    ],
}
