"""Typical mistakes in problem set 4: answer → [(what is written instead, words of the message)]."""

PAD = """
n = torch.tensor([len(one) for one in data])
mask = torch.arange(int(n.max())) < n[:, None]
x = torch.zeros(*mask.shape, data[0].shape[1])
for b, one in enumerate(data):
    x[b, : len(one)] = one
"""
SCORES = "scores = keys @ query / math.sqrt(len(query))\n"
MERGE = """
(mean_a, log_sd_a, log_n_a), (mean_b, log_sd_b, log_n_b) = s_a.T, s_b.T
n_a, n_b = log_n_a.exp(), log_n_b.exp()
v_a, v_b = (2 * log_sd_a).exp(), (2 * log_sd_b).exp()
n = n_a + n_b
mean = (n_a * mean_a + n_b * mean_b) / n
within = (n_a * v_a + n_b * v_b) / n
between = n_a * n_b / n**2 * (mean_a - mean_b) ** 2
"""
COMPOSE = """
n = len(means)
P, P_0 = torch.linalg.inv(covariances), torch.linalg.inv(prior_covariance)
total = P.sum(0) + (1 - n) * P_0
pull = (means @ P).sum(0) + (1 - n) * prior_mean @ P_0
"""
LABS = """
def one(n, m, v):
    return (4 + n / 2 * (v + m**2 / (1 + n))) / (4 + n / 2 - 1)


n = N_a + N_b
m = (N_a * mean_a + N_b * mean_b) / n
within = (N_a * sd_a**2 + N_b * sd_b**2) / n
v = within + N_a * N_b / n**2 * (mean_a - mean_b) ** 2
"""
NAIVE = """
v, v_N = c**2 / (1 + c**2), c**2 / (N + c**2)
naive = N / (v + r**2) - (N - 1) / (1 + r**2)
"""

MISTAKES = {
    "ex1": [
        (PAD + "return x, ~mask", "True means real"),
        (PAD + "return x, (x != 0).any(-1)", "from the sizes, not from the values"),
        (PAD + "return x, torch.arange(x.shape[1]) <= n[:, None]", "one too long"),
        (PAD + "return x, torch.arange(x.shape[1]) < n[:, None] - 1", "one too short"),
        (PAD + "return x, torch.ones_like(mask)", "counts as real"),
        (PAD + "return x, mask.float()", "boolean"),
        (PAD + "return x, (x != 0)", "one for each feature|from the sizes"),
        (PAD + "return x, mask[..., None].expand_as(x)", "one for each feature"),
        (PAD + "return x, mask[..., None]", "last axis of length 1"),
        (PAD + "return x, mask.T", r"this is \(N, B\)"),
        (PAD + "return x.transpose(0, 1), mask", r"this is \(N, B, F\)"),
        (PAD + "return x", "returning both"),
        (PAD + "return x, mask.flip(1)", "come first"),
        (
            """
            n = torch.tensor([len(one) for one in data])
            mask = torch.arange(int(n.max())) < n[:, None]
            x = torch.zeros(*mask.shape, data[0].shape[1])
            for b, one in enumerate(data):
                x[b, -len(one) :] = one
            return x, mask
            """,
            "zeros behind them",
        ),
        (
            """
            n = min(len(one) for one in data)
            return torch.stack([one[:n] for one in data]), torch.ones(len(data), n).bool()
            """,
            "not of the smallest",
        ),
        (
            """
            N = max(len(one) for one in data)
            x = torch.stack([torch.cat([one, one[-1:].expand(N - len(one), -1)]) for one in data])
            return x, torch.arange(N) < torch.tensor([[len(one)] for one in data])
            """,
            "repeated",
        ),
        (
            """
            mask = torch.arange(4) < torch.tensor([[len(one)] for one in data])
            x = torch.zeros(3, 4, 2)
            for b, one in enumerate(data):
                x[b, : len(one)] = one
            return x, mask
            """,
            "must match|size",
        ),
        (
            "x = torch.cat(data)\nreturn x, torch.ones(len(x), dtype=torch.bool)",
            "strung together",
        ),
    ],
    "ex2": [
        (
            """
            n = mask.sum(1, keepdim=True)
            return rho(torch.cat([phi(x).mean(1), n.log()], 1))
            """,
            "over the padding as well",
        ),
        (
            """
            n = torch.full((len(x), 1), float(x.shape[1]))
            return rho(torch.cat([phi(x).mean(1), n.log()], 1))
            """,
            "in the mean and in N",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            return rho(torch.cat([(phi(x) * mask[..., None]).mean(1), n.log()], 1))
            """,
            "divided by the padded N",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            return rho(torch.cat([phi(x * mask[..., None]).sum(1) / n, n.log()], 1))
            """,
            "mask phi",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            return rho(torch.cat([(phi(x) * mask[..., None]).sum(1), n.log()], 1))
            """,
            "this is the sum",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            pooled = (phi(x) * mask[..., None]).sum(1) / mask.sum()
            return rho(torch.cat([pooled, n.log()], 1))
            """,
            "whole batch",
        ),
        (
            """
            n = (~mask).sum(1, keepdim=True)
            pooled = (phi(x) * ~mask[..., None]).sum(1) / n
            return rho(torch.cat([pooled, n.log()], 1))
            """,
            "mean of the padding",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            pooled = phi((x * mask[..., None]).sum(1) / n)
            return rho(torch.cat([pooled, n.log()], 1))
            """,
            "phi of the mean",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            pooled = phi(x).masked_fill(~mask[..., None], -math.inf).amax(1)
            return rho(torch.cat([pooled, n.log()], 1))
            """,
            "maximum",
        ),
        (
            "return rho((phi(x) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))",
            "N is not told",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            return rho(torch.cat([(phi(x) * mask[..., None]).sum(1) / n, n], 1))
            """,
            "N itself",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            N = torch.full((len(x), 1), float(x.shape[1]))
            return rho(torch.cat([(phi(x) * mask[..., None]).sum(1) / n, N.log()], 1))
            """,
            "padded N, the same",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            return rho(torch.cat([(phi(x) * mask[..., None]).sum(1) / n, n.log2()], 1))
            """,
            "base 2",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            return rho(torch.cat([(phi(x) * mask[..., None]).sum(1) / n, n.log1p()], 1))
            """,
            r"ln\(1 \+ N\)",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            return rho(torch.cat([n.log(), (phi(x) * mask[..., None]).sum(1) / n], 1))
            """,
            "come last",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            return torch.cat([(phi(x) * mask[..., None]).sum(1) / n, n.log()], 1)
            """,
            "rho is not used",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            told = n.log()[:, None].expand(-1, x.shape[1], 1)
            each = rho(torch.cat([phi(x), told], 2))
            return (each * mask[..., None]).sum(1) / n
            """,
            "rho comes after",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            pooled = torch.stack([phi(one[: int(k)]).mean(0) for one, k in zip(x, n)])
            return rho(torch.cat([pooled, n.log()], 1))
            """,
            "padding can stand anywhere",
        ),
        (
            """
            x[~mask] = 0
            n = mask.sum(1, keepdim=True)
            return rho(torch.cat([(phi(x) * mask[..., None]).sum(1) / n, n.log()], 1))
            """,
            "in place",
        ),
        (
            """
            n = mask.sum(1, keepdim=True)
            return rho(torch.cat([(phi(x) * mask).sum(1) / n, n.log()], 1))
            """,
            "must match|size",
        ),
    ],
    "ex2_own": [
        ("times_too_wide = (b / a + 1) / 2", "take the root"),
        ("times_too_wide = math.sqrt(b / a)", "wide part alone"),
        ("times_too_wide = (math.sqrt(b / a) + 1) / 2", "averages the two sds"),
        ("times_too_wide = 1 / math.sqrt((b / a + 1) / 2)", "turned around"),
        ("times_too_wide = math.sqrt((1 / a + 1 / b) / 2 * a)", "smaller size"),
        ("times_too_wide = math.sqrt((1 / a + 1 / b) / 2)", "this is the mixture's sd"),
        ("times_too_wide = math.sqrt((1 / a + 1 / b) * b)", "weight 1/2"),
        ("times_too_wide = math.sqrt(b / ((a + b) / 2))", "averages the sizes"),
        ("times_too_wide = math.sqrt((1 / a**2 + 1 / b**2) / 2) * b", "not 1/a² and 1/b²"),
        ("times_too_wide = 1", "nothing is lost"),
        ("times_too_wide = None", "Not answered"),
        ("times_too_wide = (a, b)", "single number"),
    ],
    "ex3": [
        (
            SCORES + "return (scores.softmax(1)[..., None] * values).sum(1)",
            "padding gets weight|mask is not used",
        ),
        (
            SCORES + "return ((scores.softmax(1) * mask)[..., None] * values).sum(1)",
            "mask before the softmax",
        ),
        (
            SCORES + "return (((scores * mask).softmax(1))[..., None] * values).sum(1)",
            "a score of 0 is no weight of 0",
        ),
        (
            SCORES
            + "weights = scores.masked_fill(mask, -math.inf).softmax(1)\n"
            + "return (weights[..., None] * values).sum(1)",
            "turned around",
        ),
        (
            SCORES
            + "weights = scores.masked_fill(~mask, -math.inf).softmax(0)\n"
            + "return (weights[..., None] * values).sum(1)",
            "over the batch",
        ),
        (
            SCORES
            + "weights = scores.masked_fill(~mask, -math.inf).softmax(1)\n"
            + "return (weights[..., None] * values).mean(1)",
            "add up, do not average",
        ),
        (
            SCORES + "return ((scores.sigmoid() * mask)[..., None] * values).sum(1)",
            "sigmoid",
        ),
        (
            SCORES + "return ((scores.exp() * mask)[..., None] * values).sum(1)",
            "not normalised",
        ),
        (
            SCORES
            + "weights = scores.exp() * mask\n"
            + "weights = weights / weights.sum(1, keepdim=True)\n"
            + "return (weights[..., None] * values).sum(1)",
            "overflows.*not a number|0/0.*not a number",
        ),
        (
            "weights = (keys @ query).masked_fill(~mask, -math.inf).softmax(1)\n"
            "return (weights[..., None] * values).sum(1)",
            "√K is missing",
        ),
        (
            "scores = keys @ query / len(query)\n"
            "weights = scores.masked_fill(~mask, -math.inf).softmax(1)\n"
            "return (weights[..., None] * values).sum(1)",
            "not by K",
        ),
        (
            "scores = keys @ query / keys.shape[1] ** 0.5\n"
            "weights = scores.masked_fill(~mask, -math.inf).softmax(1)\n"
            "return (weights[..., None] * values).sum(1)",
            "not by √N",
        ),
        (
            SCORES
            + "weights = (-scores).masked_fill(~mask, -math.inf).softmax(1)\n"
            + "return (weights[..., None] * values).sum(1)",
            "the sign",
        ),
        (
            SCORES
            + "best = scores.masked_fill(~mask, -math.inf).argmax(1)\n"
            + "return values[torch.arange(len(values)), best]",
            "all weight goes to one|off by",
        ),
        (
            SCORES
            + "weights = scores.masked_fill(~mask, -100.0).softmax(1)\n"
            + "return (weights[..., None] * values).sum(1)",
            "−∞, not some number",
        ),
        (
            SCORES
            + "weights = scores.masked_fill(~mask, 0.0).softmax(1)\n"
            + "return (weights[..., None] * values).sum(1)",
            "a score of 0 is no weight of 0",
        ),
        (
            SCORES
            + "weights = scores.masked_fill(~mask, -math.inf).softmax(1)\n"
            + "return (weights[..., None] * keys).sum(1)",
            "shape",
        ),
        (
            SCORES + "keys[~mask] = -math.inf\n"
            "weights = scores.masked_fill(~mask, -math.inf).softmax(1)\n"
            "return (weights[..., None] * values).sum(1)",
            "in place|not a number",
        ),
        (
            SCORES
            + "weights = scores.masked_fill(~mask, -math.inf).softmax(1)\n"
            + "return weights[..., None] * values",
            "shape",
        ),
    ],
    "ex3_own": [
        ("factor = math.log(9) / d", "two observations"),
        ("factor = math.log(9 * n_real) / d", "N − 1, not N"),
        ("factor = math.log(9 * (n_real - 1))", "divide by d"),
        ("factor = math.log(9 * (n_real - 1)) * d", "do not multiply"),
        ("factor = math.log(10 * (n_real - 1)) / d", "9 to 1"),
        ("factor = math.log(0.9 * (n_real - 1)) / d", "nine times their sum"),
        ("factor = math.log(n_real - 1) / d", "half of the weight"),
        ("factor = math.log10(9 * (n_real - 1)) / d", "natural logarithm"),
        ("factor = 9 * (n_real - 1) / d", "leaves out the logarithm"),
        ("factor = (math.log(9) + n_real - 1) / d", "inside the logarithm"),
        ("factor = math.log(9 * (n_real - 1)) / d * math.sqrt(n_real)", "√N has no place"),
        ("factor = None", "Not answered"),
    ],
    "ex4": [
        (
            MERGE + "return torch.stack([mean, 0.5 * within.log(), n.log()], 1)",
            "distance between the means is missing",
        ),
        (
            MERGE
            + "sd = (n_a * log_sd_a.exp() + n_b * log_sd_b.exp()) / n\n"
            + "return torch.stack([mean, sd.log(), n.log()], 1)",
            "sds are averaged",
        ),
        (
            MERGE
            + "log_sd = (n_a * log_sd_a + n_b * log_sd_b) / n\n"
            + "return torch.stack([mean, log_sd, n.log()], 1)",
            "logs of the sds are averaged, weighted",
        ),
        ("return (s_a + s_b) / 2", "N has not changed|logs of the sds"),
        (
            MERGE
            + "m = (mean_a + mean_b) / 2\n"
            + "v = (v_a + v_b) / 2 + (mean_a - mean_b) ** 2 / 4\n"
            + "return torch.stack([m, 0.5 * v.log(), n.log()], 1)",
            "weigh them by their sizes",
        ),
        (
            MERGE
            + "v = (v_a + v_b) / 2 + (mean_a - mean_b) ** 2 / 4\n"
            + "return torch.stack([mean, 0.5 * v.log(), n.log()], 1)",
            "the variance is not",
        ),
        (
            MERGE
            + "m = (mean_a + mean_b) / 2\n"
            + "return torch.stack([m, 0.5 * (within + between).log(), n.log()], 1)",
            "the mean is not",
        ),
        (
            MERGE
            + "m = (log_n_a * mean_a + log_n_b * mean_b) / (log_n_a + log_n_b)\n"
            + "return torch.stack([m, 0.5 * (within + between).log(), n.log()], 1)",
            "ln N instead of N",
        ),
        (
            MERGE
            + "m, v = (n_b * mean_a + n_a * mean_b) / n, (n_b * v_a + n_a * v_b) / n\n"
            + "return torch.stack([m, 0.5 * (v + between).log(), n.log()], 1)",
            "weights are swapped",
        ),
        (
            MERGE
            + "between = n_a * n_b / n**2 * (mean_a - mean_b).abs()\n"
            + "return torch.stack([mean, 0.5 * (within + between).log(), n.log()], 1)",
            "should be squared",
        ),
        (
            MERGE + "return torch.stack([mean, 0.5 * (within + n * between).log(), n.log()], 1)",
            "not N_a N_b / N",
        ),
        (
            MERGE
            + "v = within + (mean_a - mean_b) ** 2\n"
            + "return torch.stack([mean, 0.5 * v.log(), n.log()], 1)",
            "counts in full",
        ),
        (
            MERGE
            + "v = within + (mean_a - mean_b) ** 2 / 4\n"
            + "return torch.stack([mean, 0.5 * v.log(), n.log()], 1)",
            "as for equal sizes",
        ),
        (
            MERGE + "return torch.stack([mean, 0.5 * (within - between).log(), n.log()], 1)",
            "taken off",
        ),
        (
            MERGE + "return torch.stack([mean, (within + between).log(), n.log()], 1)",
            "logarithm of the variance",
        ),
        (
            MERGE + "return torch.stack([mean, (within + between).sqrt(), n.log()], 1)",
            "this returns the sd; its logarithm",
        ),
        (
            MERGE
            + "return torch.stack([mean, 0.5 * (within + between).log(), log_n_a + log_n_b], 1)",
            "ln N is added up",
        ),
        (
            MERGE + "return torch.stack([mean, 0.5 * (within + between).log(), n], 1)",
            "this returns N; its logarithm",
        ),
        (
            MERGE
            + "square = (n_a * (v_a + mean_a**2) + n_b * (v_b + mean_b**2)) / n\n"
            + "return torch.stack([mean, 0.5 * (square - mean**2).log(), n.log()], 1)",
            "difference of two large squares",
        ),
        (
            MERGE
            + "v = (n * (within + between)) / (n - 1)\n"
            + "return torch.stack([mean, 0.5 * v.log(), n.log()], 1)",
            "not by N − 1|off by",
        ),
        (
            MERGE
            + "v = v_a + v_b + between\n"
            + "return torch.stack([mean, 0.5 * v.log(), n.log()], 1)",
            "added but not averaged",
        ),
    ],
    "ex4_own": [
        (LABS + "mean_square_sd = one(N_a, mean_a, sd_a**2)", "A alone"),
        (LABS + "mean_square_sd = one(N_b, mean_b, sd_b**2)", "B alone"),
        (
            LABS + "mean_square_sd = (one(N_a, mean_a, sd_a**2) + one(N_b, mean_b, sd_b**2)) / 2",
            "half-way",
        ),
        (
            LABS + "A, B = one(N_a, mean_a, sd_a**2), one(N_b, mean_b, sd_b**2)\n"
            "mean_square_sd = (N_a * A + N_b * B) / n",
            "merge the summaries first",
        ),
        (LABS + "mean_square_sd = one(n, m, within)", "distance between the two means"),
        (
            LABS + "v = (sd_a**2 + sd_b**2) / 2 + (mean_a - mean_b) ** 2 / 4\n"
            "mean_square_sd = one(n, (mean_a + mean_b) / 2, v)",
            "count the same",
        ),
        (
            LABS + "mean_square_sd = (4 + n / 2 * (v + m**2 / (1 + n))) / (4 + n / 2 + 1)",
            "mode",
        ),
        (LABS + "mean_square_sd = (4 + n / 2 * (v + m**2 / (1 + n))) / (4 + n / 2)", "rate/shape"),
        (LABS + "mean_square_sd = one(n, m, v).sqrt()", "this is the sd"),
        (LABS + "mean_square_sd = v", "sample variance alone"),
        (LABS + "mean_square_sd = one(n, 0, v)", "m² of the rate"),
        (LABS + "mean_square_sd = one(n, m, v.sqrt())", "has got the sd"),
        (LABS + "mean_square_sd = one(n, m, 0.5 * v.log())", "has got ln sd"),
        (LABS + "mean_square_sd = 4 + n / 2 * (v + m**2 / (1 + n))", "this is the rate"),
        (LABS + "mean_square_sd = one(math.log(n), m, v)", "takes ln N for N|sample variance"),
        ("mean_square_sd = None", "Not answered"),
    ],
    "ex5": [
        (
            COMPOSE + "total = P.sum(0)\n" + "return (means @ P).sum(0) @ torch.linalg.inv(total)",
            "prior is counted three times",
        ),
        (
            COMPOSE + "total = P.sum(0) + (n - 1) * P_0\n"
            "pull = (means @ P).sum(0) + (n - 1) * prior_mean @ P_0\n"
            "return pull @ torch.linalg.inv(total)",
            "put in instead of divided out",
        ),
        (
            COMPOSE + "total = P.sum(0) - n * P_0\n"
            "pull = (means @ P).sum(0) - n * prior_mean @ P_0\n"
            "return pull @ torch.linalg.inv(total)",
            "once too often",
        ),
        (
            COMPOSE + "total = P.sum(0) + P_0\n"
            "pull = (means @ P).sum(0) + prior_mean @ P_0\n"
            "return pull @ torch.linalg.inv(total)",
            "comes in once more",
        ),
        (COMPOSE + "return pull", "does not divide|not normalised"),
        (
            COMPOSE + "return pull @ torch.linalg.inv(P.sum(0))",
            "not off the total precision",
        ),
        (
            COMPOSE + "return (means @ P).sum(0) @ torch.linalg.inv(total)",
            "but not off the means",
        ),
        ("return means.sum(0) + (1 - len(means)) * prior_mean", "naive sum"),
        ("return means.mean(0)", "counted three times"),
        (
            """
            n, C, C_0 = len(means), covariances, prior_covariance
            total = C.sum(0) + (1 - n) * C_0
            pull = (means @ C).sum(0) + (1 - n) * prior_mean @ C_0
            return pull @ torch.linalg.inv(total)
            """,
            "weigh by their inverses",
        ),
        (
            """
            n = len(means)
            C = torch.diag_embed(covariances.diagonal(dim1=1, dim2=2))
            P, P_0 = torch.linalg.inv(C), torch.diag(1 / prior_covariance.diagonal())
            total = P.sum(0) + (1 - n) * P_0
            pull = (means @ P).sum(0) + (1 - n) * prior_mean @ P_0
            return pull @ torch.linalg.inv(total)
            """,
            "off-diagonal",
        ),
        (
            """
            n = len(means)
            P, P_0 = torch.linalg.inv(covariances[0]), torch.linalg.inv(prior_covariance)
            total = n * P + (1 - n) * P_0
            pull = (means @ P).sum(0) + (1 - n) * prior_mean @ P_0
            return pull @ torch.linalg.inv(total)
            """,
            "first one's covariance",
        ),
        (
            COMPOSE + "pull = (means @ P).sum(0) + (1 - n) * prior_mean\n" + "return pull @ total",
            "off by|divide",
        ),
        (COMPOSE + "return -pull @ torch.linalg.inv(total)", "signs of data and prior|off by"),
        (
            COMPOSE
            + "pull = (means @ P).sum(1) + (1 - n) * prior_mean @ P_0\n"
            + "return pull @ torch.linalg.inv(total)",
            "shape|must match|size",
        ),
        (
            COMPOSE + "total = P.mean(0) + (1 - n) * P_0\n"
            "pull = (means @ P).mean(0) + (1 - n) * prior_mean @ P_0\n"
            "return pull @ torch.linalg.inv(total)",
            "averaged over the observations",
        ),
    ],
    "ex5_own": [
        (NAIVE + "times_too_narrow = (v_N + r**2) * naive", "take the root"),
        (NAIVE + "times_too_narrow = 1 / torch.sqrt((v_N + r**2) * naive)", "turned around"),
        (NAIVE + "times_too_narrow = 1 / naive.sqrt()", "this is the naive sd"),
        (NAIVE + "times_too_narrow = (v_N + r**2).sqrt()", "this is the exact sd"),
        (
            NAIVE + "times_too_narrow = torch.sqrt((v_N + r**2) * N / (v + r**2))",
            "are not taken off",
        ),
        (
            NAIVE + "naive = N / (v + r**2) - 1 / (1 + r**2)\n"
            "times_too_narrow = torch.sqrt((v_N + r**2) * naive)",
            "taken off once",
        ),
        (
            NAIVE + "naive = N / (v + r**2) - N / (1 + r**2)\n"
            "times_too_narrow = torch.sqrt((v_N + r**2) * naive)",
            "taken off N times",
        ),
        (
            NAIVE + "naive = N / (v + r**2) - (N - 1)\n"
            "times_too_narrow = torch.sqrt((v_N + r**2) * naive.abs())",
            "prior has to be noised",
        ),
        (NAIVE + "times_too_narrow = torch.sqrt(v_N * naive)", "posterior has to be noised"),
        (NAIVE + "times_too_narrow = torch.sqrt((v + r**2) * naive)", "one observation's"),
        (NAIVE + "times_too_narrow = 1.0", "use your r"),
        (
            NAIVE + "times_too_narrow = torch.sqrt((v / N + r**2) * naive)",
            "N observations have N times",
        ),
        (
            NAIVE + "times_too_narrow = torch.sqrt((c**2 / N + r**2) * naive)",
            "the prior counts, too",
        ),
        (
            NAIVE + "naive = N / (v + r) - (N - 1) / (1 + r)\n"
            "times_too_narrow = torch.sqrt((v_N + r) * naive)",
            "r should be squared",
        ),
        (
            NAIVE + "naive = N / (v + r**2) + (N - 1) / (1 + r**2)\n"
            "times_too_narrow = torch.sqrt((v_N + r**2) * naive)",
            "are added; they are taken off",
        ),
        ("times_too_narrow = None", "Not answered"),
    ],
}
