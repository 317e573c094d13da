"""Typical mistakes in problem set 2: answer → [(what is written instead, words of the message)]."""

MISTAKES = {
    "ex1": [
        (
            """
            t = torch.atan(torch.exp(log_snr / 2)) * 2 / math.pi
            return t, torch.cos(math.pi * t / 2), torch.sin(math.pi * t / 2)
            """,
            "sign is turned around",
        ),
        (
            """
            t = torch.atan(torch.exp(-log_snr)) * 2 / math.pi
            return t, torch.cos(math.pi * t / 2), torch.sin(math.pi * t / 2)
            """,
            "factor 2 is missing",
        ),
        (
            """
            t = torch.atan(torch.exp(-2 * log_snr)) * 2 / math.pi
            return t, torch.cos(math.pi * t / 2), torch.sin(math.pi * t / 2)
            """,
            "half of it, not twice",
        ),
        (
            """
            t = torch.atan(torch.exp(-log_snr / 2))
            return t, torch.cos(t), torch.sin(t)
            """,
            "radians",
        ),
        (
            """
            t = torch.atan(torch.exp(-log_snr / 2)) / math.pi
            return t, torch.cos(math.pi * t), torch.sin(math.pi * t)
            """,
            "πt/2, not πt",
        ),
        (
            """
            t = torch.atan(10 ** (-log_snr / 2)) * 2 / math.pi
            return t, torch.cos(math.pi * t / 2), torch.sin(math.pi * t / 2)
            """,
            "base 10",
        ),
        (
            """
            r = torch.exp(-log_snr / 2)
            t = r / (1 + r)
            return t, torch.cos(math.pi * t / 2), torch.sin(math.pi * t / 2)
            """,
            "rectified flow",
        ),
        (
            """
            t = torch.atan(torch.exp(-log_snr / 2)) * 2 / math.pi
            return t, torch.sin(math.pi * t / 2), torch.cos(math.pi * t / 2)
            """,
            "swapped",
        ),
        (
            """
            t = torch.atan(torch.exp(-log_snr / 2)) * 2 / math.pi
            return t, 1 - t, t
            """,
            "rectified flow",
        ),
        (
            """
            r = torch.exp(-log_snr / 2)
            return torch.atan(r) * 2 / math.pi, torch.ones_like(r), r
            """,
            "EDM only",
        ),
        (
            """
            r = torch.exp(-log_snr / 2)
            return torch.atan(r) * 2 / math.pi, 1 / (1 + r**2), r / (1 + r**2)
            """,
            "alpha²",
        ),
        (
            """
            r = torch.exp(-log_snr / 2)
            return torch.atan(r) * 2 / math.pi, 1 / (1 + r**2).sqrt(), r
            """,
            "r = sigma/alpha, not sigma",
        ),
        (
            """
            t = torch.atan(torch.exp(-log_snr / 2)) * 2 / math.pi
            return t, torch.cos(t), torch.sin(t)
            """,
            "cosine of t",
        ),
        (
            """
            t = torch.atan(torch.exp(-log_snr / 2)) * 2 / math.pi
            alpha = torch.cos(math.pi * t / 2)
            return t, alpha, 1 - alpha
            """,
            "squares",
        ),
        (
            """
            log_snr /= -2
            t = torch.atan(torch.exp(log_snr)) * 2 / math.pi
            return t, torch.cos(math.pi * t / 2), torch.sin(math.pi * t / 2)
            """,
            "in place",
        ),
    ],
    "ex1_own": [
        ("t_cosine = t_flow", "same time"),
        ("t_cosine = torch.asin(t_flow) * 2 / math.pi", "compares sigma"),
        ("t_cosine = torch.acos(1 - t_flow) * 2 / math.pi", "compares alpha"),
        ("t_cosine = torch.atan(t_flow / (1 - t_flow))", "radians"),
        ("t_cosine = torch.atan(t_flow / (1 - t_flow)) / math.pi", "πt/2"),
        ("t_cosine = torch.atan((1 - t_flow) / t_flow) * 2 / math.pi", "took alpha/sigma"),
        ("t_cosine = t_flow / (1 - t_flow)", "ratio r itself"),
        ("t_cosine = -2 * torch.log(t_flow / (1 - t_flow))", "this is the log-SNR"),
        ("t_cosine = 2 * torch.log(t_flow / (1 - t_flow))", "log-SNR, with its sign"),
        (
            "r = t_flow / (1 - t_flow)\nt_cosine = cosine_at(-torch.log(r).reshape(1, 1))[0]",
            "went in with ln r",
        ),
        (
            "r = t_flow / (1 - t_flow)\nt_cosine = cosine_at(2 * torch.log(r).reshape(1, 1))[0]",
            "alpha/sigma",
        ),
        ("t_cosine = torch.atan(t_flow) * 2 / math.pi", "took r = t"),
        (
            "r = t_flow / (1 - t_flow)\nt_cosine = cosine_at(-2 * torch.log(r).reshape(1, 1))",
            "single number",
        ),
        ("t_cosine = None", "Not answered"),
    ],
    "ex2": [
        ("return torch.exp(mean + sd * torch.special.ndtri(u))", "without a cut"),
        (
            "return torch.exp(mean + sd * torch.special.ndtri(u)).clamp(r_min, r_max)",
            "moves what lies outside",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            return mean + sd * torch.special.ndtri(low + u * (high - low))
            """,
            "this is ln r",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            return 10 ** (mean + sd * torch.special.ndtri(low + u * (high - low)))
            """,
            "powers of e",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]) - mean) / sd)
            return torch.exp(mean + sd * torch.special.ndtri(low + u * (high - low)))
            """,
            "cut is made in r",
        ),
        (
            """
            low, high = torch.special.ndtr(torch.tensor([r_min, r_max]).log())
            return torch.exp(mean + sd * torch.special.ndtri(low + u * (high - low)))
            """,
            "should be standardised",
        ),
        (
            """
            low, high = torch.special.ndtr(torch.tensor([r_min, r_max]).log() / sd)
            return torch.exp(mean + sd * torch.special.ndtri(low + u * (high - low)))
            """,
            "subtract the mean",
        ),
        (
            """
            low, high = torch.special.ndtr(torch.tensor([r_min, r_max]).log() - mean)
            return torch.exp(mean + sd * torch.special.ndtri(low + u * (high - low)))
            """,
            "divided by the sd",
        ),
        (
            """
            ends = torch.tensor([r_min, r_max]).log()
            return torch.exp(ends[0] + u * (ends[1] - ends[0]))
            """,
            "even in ln r",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            return torch.exp(mean + sd * (low + u * (high - low)))
            """,
            "u itself",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            return torch.exp(mean + sd * torch.special.ndtr(low + u * (high - low)))
            """,
            "applies Φ",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            return torch.exp(sd * torch.special.ndtri(low + u * (high - low)))
            """,
            "mean is not used",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            return torch.exp(mean + torch.special.ndtri(low + u * (high - low)))
            """,
            "sd is not used",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            return torch.exp(mean + sd**2 * torch.special.ndtri(low + u * (high - low)))
            """,
            "used its square",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            return torch.exp(mean + sd**0.5 * torch.special.ndtri(low + u * (high - low)))
            """,
            "used its root",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            return torch.exp(mean + sd * torch.special.ndtri(high - u * (high - low)))
            """,
            "should give larger r",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            return torch.exp(mean + sd * torch.special.ndtri(low + u * (1 - low)))
            """,
            "no upper cut|upper cut is missing",
        ),
        (
            """
            low, high = torch.special.ndtr((torch.tensor([r_min, r_max]).log() - mean) / sd)
            u *= high - low
            return torch.exp(mean + sd * torch.special.ndtri(low + u))
            """,
            "in place",
        ),
    ],
    "ex2_own": [
        (
            """
            ends = sd_narrow * torch.tensor([1 / 3, 3.0])
            below = torch.special.ndtr((ends - ln_r_mean) / ln_r_sd)
            share_normal = below[1] - below[0]
            """,
            "take the logarithms",
        ),
        (
            """
            ends = sd_narrow * torch.tensor([1 / 3, 3.0])
            below = torch.special.ndtr((ends.log() - ln_r_mean) / ln_r_sd)
            share_normal = below[0] - below[1]
            """,
            "order of the ends",
        ),
        (
            "share_normal = torch.special.ndtr(((3 * sd_narrow).log() - ln_r_mean) / ln_r_sd)",
            "everything below 3d",
        ),
        (
            """
            ends = sd_narrow * torch.tensor([1 / 3, 3.0])
            below = torch.special.ndtr((ends.log10() - ln_r_mean) / ln_r_sd)
            share_normal = below[1] - below[0]
            """,
            "base 10",
        ),
        (
            """
            ends = sd_narrow * torch.tensor([1 / 3, 3.0])
            below = torch.special.ndtr((ends.log() - ln_r_mean) / ln_r_sd**2)
            share_normal = below[1] - below[0]
            """,
            "not by its square",
        ),
        (
            """
            ends = sd_narrow * torch.tensor([1 / 3, 3.0])
            below = torch.special.ndtr(ends.log() - ln_r_mean)
            share_normal = below[1] - below[0]
            """,
            "divided by the sd",
        ),
        (
            """
            ends = sd_narrow * torch.tensor([1 / 3, 3.0])
            below = torch.special.ndtr(ends.log() / ln_r_sd)
            share_normal = below[1] - below[0]
            """,
            "mean of ln r is not",
        ),
        (
            """
            ends = sd_wide * torch.tensor([1 / 3, 3.0])
            below = torch.special.ndtr((ends.log() - ln_r_mean) / ln_r_sd)
            share_normal = below[1] - below[0]
            """,
            "wide direction",
        ),
        (
            """
            ends = sd_narrow * torch.tensor([1 / 3, 3.0])
            below = torch.special.ndtr((ends.log() - ln_r_mean) / ln_r_sd)
            share_normal = 1 - below[1] + below[0]
            """,
            "outside",
        ),
        (
            """
            ends = sd_narrow * torch.tensor([1 / 3, 3.0])
            below = torch.special.ndtr((ends.log() - ln_r_mean) / ln_r_sd)
            share_cosine = below[1] - below[0]
            share_normal = (torch.atan(ends[1]) - torch.atan(ends[0])) * 2 / math.pi
            """,
            "two are swapped",
        ),
        (
            "share_cosine = torch.atan(3 * sd_narrow) - torch.atan(sd_narrow / 3)",
            "difference of angles",
        ),
        (
            "share_cosine = (torch.atan(3 * sd_narrow) - torch.atan(sd_narrow / 3)) / math.pi",
            "πt/2, not πt",
        ),
        ("share_cosine = torch.atan(3 * sd_narrow) * 2 / math.pi", "everything below 3d"),
        (
            """
            a, b = sd_narrow / 3, 3 * sd_narrow
            share_cosine = b / (1 + b) - a / (1 + a)
            """,
            "rectified flow",
        ),
        ("share_cosine = 3 * sd_narrow - sd_narrow / 3", "of levels r"),
        (
            """
            share_cosine = (torch.atan(3 * sd_narrow) - torch.atan(sd_narrow / 3)) * 200 / math.pi
            """,
            "per cent",
        ),
        ("share_normal = share_cosine = None", "Not answered"),
    ],
    "ex3": [
        (
            "return torch.linspace(r_max ** (1 / rho), r_min ** (1 / rho), n) ** rho",
            "final 0 is missing",
        ),
        (
            """
            levels = torch.linspace(r_max ** (1 / rho), r_min ** (1 / rho), n + 1) ** rho
            return torch.cat([levels, torch.zeros(1)])
            """,
            "one too many",
        ),
        (
            """
            levels = torch.linspace(r_max ** (1 / rho), r_min ** (1 / rho), n + 1) ** rho
            levels[-1] = 0
            return levels
            """,
            "r_min is never reached",
        ),
        (
            """
            levels = torch.linspace(r_max ** (1 / rho), r_min ** (1 / rho), n)
            return torch.cat([levels, torch.zeros(1)])
            """,
            "power rho",
        ),
        (
            """
            levels = torch.linspace(r_max**rho, r_min**rho, n) ** (1 / rho)
            return torch.cat([levels, torch.zeros(1)])
            """,
            "swapped",
        ),
        (
            """
            levels = torch.linspace(r_max, r_min, n)
            return torch.cat([levels, torch.zeros(1)])
            """,
            "even in r",
        ),
        (
            """
            levels = torch.linspace(math.log(r_max), math.log(r_min), n).exp()
            return torch.cat([levels, torch.zeros(1)])
            """,
            "even in ln r",
        ),
        (
            """
            levels = torch.linspace(r_max ** (1 / 7), r_min ** (1 / 7), n) ** 7
            return torch.cat([levels, torch.zeros(1)])
            """,
            "rho = 7, whatever rho is",
        ),
        (
            """
            levels = torch.linspace(r_min ** (1 / rho), r_max ** (1 / rho), n) ** rho
            return torch.cat([levels, torch.zeros(1)])
            """,
            "noise comes first",
        ),
        (
            """
            levels = torch.linspace(r_min ** (1 / rho), r_max ** (1 / rho), n) ** rho
            return torch.cat([torch.zeros(1), levels])
            """,
            "noise comes first",
        ),
        (
            """
            i = torch.arange(n)
            high, low = r_max ** (1 / rho), r_min ** (1 / rho)
            return torch.cat([(high + i / n * (low - high)) ** rho, torch.zeros(1)])
            """,
            "n − 1 gaps",
        ),
        (
            """
            i = torch.arange(n)
            high, low = r_max ** (1 / rho), r_min ** (1 / rho)
            return torch.cat([(high + i / (n - 1) * (low - high)) ** rho, torch.zeros(1)])
            """,
            "0/0",
        ),
        ("return torch.linspace(r_max ** (1 / rho), 0, n + 1) ** rho", "even down to 0"),
        (
            """
            levels = torch.linspace(r_max ** (1 / rho), r_min ** (1 / rho), n) ** rho
            return [*levels.tolist(), 0.0]
            """,
            "should return a tensor",
        ),
        (
            """
            rho = int(rho)
            levels = torch.linspace(r_max ** (1 / rho), r_min ** (1 / rho), n) ** rho
            return torch.cat([levels, torch.zeros(1)])
            """,
            "not be rounded down",
        ),
    ],
    "ex3_own": [
        (
            """
            levels = rho_grid(100_000, 20.0, 0.001, 7.0)[:-1]
            share_grid = (levels < 3 * sd_narrow).double().mean()
            """,
            "everything below 3d",
        ),
        (
            """
            levels = rho_grid(100_000, 20.0, 0.001, 7.0)[:-1]
            share_grid = (levels > sd_narrow / 3).double().mean()
            """,
            "everything above d/3",
        ),
        (
            """
            levels = rho_grid(100_000, 20.0, 0.001, 7.0)[:-1]
            share_grid = ((levels < sd_narrow / 3) | (levels > 3 * sd_narrow)).double().mean()
            """,
            "outside",
        ),
        (
            """
            levels = rho_grid(100_000, 20.0, 0.001, 1.0)[:-1]
            share_grid = ((levels > sd_narrow / 3) & (levels < 3 * sd_narrow)).double().mean()
            """,
            "rho = 1",
        ),
        ("share_grid = math.log(9) / math.log(20_000)", "even in ln r"),
        (
            """
            share_grid = ((3 * sd_narrow) ** 7 - (sd_narrow / 3) ** 7) / (20**7 - 0.001**7)
            """,
            "swapped",
        ),
        (
            "share_grid = (3 * sd_narrow) ** (1 / 7) - (sd_narrow / 3) ** (1 / 7)",
            "divide by the difference",
        ),
        (
            """
            levels = rho_grid(100_000, 20.0, 0.001, 7.0)[:-1]
            share_grid = ((levels > sd_wide / 3) & (levels < 3 * sd_wide)).double().mean()
            """,
            "wide direction",
        ),
        (
            """
            levels = rho_grid(100_000, 20.0, 0.001, 7.0)[:-1]
            share_grid = ((levels > sd_narrow / 2) & (levels < 2 * sd_narrow)).double().mean()
            """,
            "d/2 to 2d",
        ),
        (
            """
            levels = rho_grid(100_000, 20.0, 0.001, 7.0)[:-1]
            share_grid = 100 * ((levels > sd_narrow / 3) & (levels < 3 * sd_narrow)).double().mean()
            """,
            "per cent",
        ),
        (
            """
            levels = rho_grid(100_000, 20.0, 0.001, 7.0)[:-1]
            share_grid = (levels > sd_narrow / 3) & (levels < 3 * sd_narrow)
            """,
            "single number",
        ),
        ("share_grid = None", "Not answered"),
    ],
    "ex4": [
        ("return y + (r_next - r) * (y - denoiser(y, r)) / r", "Euler's step"),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            return y + (r_next - r) * (slope + (ahead - denoiser(ahead, r_next)) / r_next) / 2
            """,
            "no slope",
        ),
        (
            """
            ahead = y + (r_next - r) * (y - denoiser(y, r)) / r
            if r_next == 0:
                return ahead
            return y + (r_next - r) * (ahead - denoiser(ahead, r_next)) / r_next
            """,
            "second slope alone",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next == 0:
                return ahead
            return y + (r_next - r) * (slope + (ahead - denoiser(ahead, r_next)) / r_next)
            """,
            "not averaged",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next == 0:
                return ahead
            slope = (slope + (ahead - denoiser(ahead, r_next)) / r_next) / 2
            return ahead + (r_next - r) * slope
            """,
            "from the start",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r - r_next) * slope
            if r_next == 0:
                return ahead
            return y + (r - r_next) * (slope + (ahead - denoiser(ahead, r_next)) / r_next) / 2
            """,
            "walks away",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next == 0:
                return ahead
            return y - (r_next - r) * (slope + (ahead - denoiser(ahead, r_next)) / r_next) / 2
            """,
            "last step walks away",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            if r_next == 0:
                return y + (r_next - r) * slope
            return y + (r_next - r) * (slope + (y - denoiser(y, r_next)) / r_next) / 2
            """,
            "where Euler's step landed",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next == 0:
                return ahead
            return y + (r_next - r) * (slope + (ahead - denoiser(y, r_next)) / r_next) / 2
            """,
            "guess where Euler's step landed",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next == 0:
                return ahead
            return y + (r_next - r) * (slope + (y - denoiser(ahead, r_next)) / r_next) / 2
            """,
            "still the old one",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next == 0:
                return ahead
            return y + (r_next - r) * (slope + (ahead - denoiser(ahead, r)) / r_next) / 2
            """,
            "level r_next, not at r",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next == 0:
                return ahead
            return y + (r_next - r) * (slope + (ahead - denoiser(ahead, r_next)) / r) / 2
            """,
            "divided by r_next, not by r",
        ),
        (
            """
            slope = y - denoiser(y, r)
            ahead = y + (r_next - r) * slope
            return y + (r_next - r) * (slope + ahead - denoiser(ahead, r_next)) / 2
            """,
            "both slopes have a division",
        ),
        (
            """
            guess = denoiser(y, r)
            ahead = guess + r_next / r * (y - guess)
            if r_next == 0:
                return ahead
            guess = (guess + denoiser(ahead, r_next)) / 2
            return guess + r_next / r * (y - guess)
            """,
            "averages the two guesses",
        ),
        (
            """
            middle = (r + r_next) / 2
            ahead = y + (middle - r) * (y - denoiser(y, r)) / r
            return y + (r_next - r) * (ahead - denoiser(ahead, middle)) / middle
            """,
            "midpoint",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next == 0:
                return ahead - y
            return (r_next - r) * (slope + (ahead - denoiser(ahead, r_next)) / r_next) / 2
            """,
            "change",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next == 0:
                return ahead
            return y - (slope + (ahead - denoiser(ahead, r_next)) / r_next) / 2
            """,
            "length of the step",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            ahead_slope = 0 if r_next == 0 else (ahead - denoiser(ahead, r_next)) / r_next
            return y + (r_next - r) * (slope + ahead_slope) / 2
            """,
            "count it as 0",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            guess = denoiser(ahead, r_next)
            if r_next == 0:
                return ahead
            return y + (r_next - r) * (slope + (ahead - guess) / r_next) / 2
            """,
            "second call at r = 0",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next < 0.05:
                return ahead
            return y + (r_next - r) * (slope + (ahead - denoiser(ahead, r_next)) / r_next) / 2
            """,
            "small levels",
        ),
        (
            """
            ahead = y + (r_next - r) * (y - denoiser(y, r)) / r
            if r_next == 0:
                return ahead
            slope = (y - denoiser(y, r)) / r
            return y + (r_next - r) * (slope + (ahead - denoiser(ahead, r_next)) / r_next) / 2
            """,
            "keep the first guess",
        ),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next > 0:
                slope = (slope + (ahead - denoiser(ahead, r_next)) / r_next) / 2
            y += (r_next - r) * slope
            return y
            """,
            "in place",
        ),
    ],
    "ex4_own": [
        (
            """
            y = torch.tensor([[20.0]])
            levels = rho_grid(10, 20.0, 0.001, 7.0).tolist()
            for r, r_next in zip(levels[:-1], levels[1:]):
                y = y + (r_next - r) * (y - y * sd_narrow**2 / (sd_narrow**2 + r**2)) / r
            heun_ratio = y / sd_narrow
            """,
            "Euler's steps",
        ),
        ("heun_ratio = 1.0", "would be perfect"),
        (
            """
            y = torch.tensor([[20.0]])
            levels = rho_grid(10, 20.0, 0.001, 7.0).tolist()
            for r, r_next in zip(levels[:-1], levels[1:]):
                y = heun_step(y, r, r_next, lambda y, r: y * sd_narrow**2 / (sd_narrow**2 + r**2))
            heun_ratio = y
            """,
            "divide by d",
        ),
        (
            """
            y = torch.tensor([[20.0]])
            levels = rho_grid(10, 20.0, 0.001, 7.0).tolist()
            for r, r_next in zip(levels[:-1], levels[1:]):
                y = heun_step(y, r, r_next, lambda y, r: y * sd_narrow**2 / (sd_narrow**2 + r**2))
            heun_ratio = sd_narrow / y
            """,
            "upside down",
        ),
        (
            """
            y = torch.tensor([[20.0]])
            levels = rho_grid(10, 20.0, 0.001, 7.0).tolist()
            for r, r_next in zip(levels[:-1], levels[1:]):
                y = heun_step(y, r, r_next, lambda y, r: y * sd_narrow**2 / (sd_narrow**2 + r**2))
            heun_ratio = y / sd_narrow - 1
            """,
            "this is the error",
        ),
        (
            """
            y = torch.tensor([[20.0]])
            levels = rho_grid(10, 20.0, 0.001, 7.0).tolist()
            for r, r_next in zip(levels[:-1], levels[1:]):
                y = heun_step(y, r, r_next, lambda y, r: y * sd_narrow**2 / (sd_narrow**2 + r**2))
            heun_ratio = (y / sd_narrow) ** 2
            """,
            "variance",
        ),
        (
            """
            y = torch.tensor([[20.0]])
            levels = rho_grid(10, 20.0, 0.001, 1000.0).tolist()
            for r, r_next in zip(levels[:-1], levels[1:]):
                y = heun_step(y, r, r_next, lambda y, r: y * sd_narrow**2 / (sd_narrow**2 + r**2))
            heun_ratio = y / sd_narrow
            """,
            "even in ln r",
        ),
        (
            """
            y = torch.tensor([[20.0]])
            levels = rho_grid(11, 20.0, 0.001, 7.0).tolist()
            for r, r_next in zip(levels[:-1], levels[1:]):
                y = heun_step(y, r, r_next, lambda y, r: y * sd_narrow**2 / (sd_narrow**2 + r**2))
            heun_ratio = y / sd_narrow
            """,
            "eleven steps",
        ),
        (
            """
            y = torch.tensor([[20.0]])
            levels = rho_grid(9, 20.0, 0.001, 7.0).tolist()
            for r, r_next in zip(levels[:-1], levels[1:]):
                y = heun_step(y, r, r_next, lambda y, r: y * sd_narrow**2 / (sd_narrow**2 + r**2))
            heun_ratio = y / sd_narrow
            """,
            "nine steps",
        ),
        (
            """
            y = torch.tensor([[20.0]])
            levels = rho_grid(10, 20.0, 0.001, 7.0).tolist()
            for r, r_next in zip(levels[:-1], levels[1:]):
                y = heun_step(y, r, r_next, lambda y, r: y * sd_narrow / (sd_narrow + r**2))
            heun_ratio = y / sd_narrow
            """,
            "square of d is missing",
        ),
        (
            """
            y = torch.tensor([[1.0]])
            levels = rho_grid(10, 20.0, 0.001, 7.0).tolist()
            for r, r_next in zip(levels[:-1], levels[1:]):
                y = heun_step(y, r, r_next, lambda y, r: y * sd_narrow**2 / (sd_narrow**2 + r**2))
            heun_ratio = y / sd_narrow
            """,
            "started at 1",
        ),
        ("heun_ratio = None", "Not answered"),
    ],
    "ex5": [
        ("return guess + (r_next / r) * (y - guess)", "guess_before is not used"),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / math.log(r_before / r)
                middle = guess + (guess - guess_before) * weight
            return middle + (r_next / r) * (y - middle)
            """,
            "end",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                middle = guess - (guess - guess_before) * weight
            return middle + (r_next / r) * (y - middle)
            """,
            "sign",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                middle = guess + (guess - guess_before) * (r - r_next) / (2 * (r_before - r))
            return middle + (r_next / r) * (y - middle)
            """,
            "drawn in r",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r_before / r) / (2 * math.log(r / r_next))
                middle = guess + (guess - guess_before) * weight
            return middle + (r_next / r) * (y - middle)
            """,
            "swapped in the ratio",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                middle = 1.5 * guess - 0.5 * guess_before
            return middle + (r_next / r) * (y - middle)
            """,
            "equally long",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                middle = guess_before + (guess - guess_before) * weight
            return middle + (r_next / r) * (y - middle)
            """,
            "goes on from guess",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                middle = guess_before + (guess_before - guess) * weight
            return middle + (r_next / r) * (y - middle)
            """,
            "two guesses are swapped",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                middle = (guess + guess_before) / 2
            return middle + (r_next / r) * (y - middle)
            """,
            "lies ahead of both",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                middle = guess + (guess - guess_before) * weight
            return middle + (r_next / r) * (y - guess)
            """,
            "in both places",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                middle = guess + (guess - guess_before) * weight
            return middle
            """,
            "whole jump",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                middle = guess + (guess - guess_before) * weight
            return middle + (r / r_next) * (y - middle)
            """,
            "here it grows",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                middle = guess + (guess - guess_before) * weight
            return middle + (r_next / r) ** 2 * (y - middle)
            """,
            "not to r²",
        ),
        (
            """
            weight = math.log(r / r_next) / (2 * math.log(r_before / r))
            middle = guess + (guess - guess_before) * weight
            return middle + (r_next / r) * (y - middle)
            """,
            "TypeError",
        ),
        (
            """
            middle = guess
            if guess_before is not None:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                middle = guess + (guess - guess_before) * weight
            return middle + (r_next / r) * (y - middle)
            """,
            "r_next = 0",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                middle = guess + guess * weight
            return middle + (r_next / r) * (y - middle)
            """,
            "guess_before is not subtracted",
        ),
        (
            """
            middle = guess
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                middle = guess + (guess - guess_before) * weight
            y -= middle
            return middle + (r_next / r) * y
            """,
            "in place",
        ),
        (
            """
            if guess_before is not None and r_next > 0:
                weight = math.log(r / r_next) / (2 * math.log(r_before / r))
                guess += (guess - guess_before) * weight
            return guess + (r_next / r) * (y - guess)
            """,
            "guess should not be changed in place",
        ),
    ],
}
