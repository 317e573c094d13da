"""Typical mistakes in problem set 1: answer → [(what is written instead, words of the message)]."""

MISTAKES = {
    "ex1": [
        ("return (x + m0) / 2, (S0 + C) / 2", "average of the two covariances"),
        ("return m0, S0", "this is the prior's covariance"),
        ("return x, C", "this is C"),
        (
            """
            P = torch.linalg.inv(S0) + torch.linalg.inv(C)
            return torch.linalg.inv(P) @ (torch.linalg.inv(S0) @ m0 + torch.linalg.inv(C) @ x), P
            """,
            "precision",
        ),
        (
            """
            S = torch.linalg.inv(torch.linalg.inv(S0) + torch.linalg.inv(C))
            return torch.linalg.inv(S0) @ m0 + torch.linalg.inv(C) @ x, S
            """,
            "not normalised",
        ),
        (
            """
            S = torch.linalg.inv(torch.linalg.inv(S0) + torch.linalg.inv(C))
            return S @ (torch.linalg.inv(C) @ m0 + torch.linalg.inv(S0) @ x), S
            """,
            "swapped|this is x",
        ),
        (
            """
            S = torch.linalg.inv(torch.linalg.inv(S0) + torch.linalg.inv(C))
            return S @ torch.linalg.inv(C) @ x, S
            """,
            "prior's mean",
        ),
        (
            """
            S = torch.linalg.inv(torch.linalg.inv(S0) + torch.linalg.inv(C))
            return (x + m0) / 2, S
            """,
            "half-way",
        ),
        (
            """
            v = 1 / (1 / S0.diag() + 1 / C.diag())
            return v * (m0 / S0.diag() + x / C.diag()), torch.diag(v)
            """,
            "off-diagonal",
        ),
        (
            """
            S = torch.linalg.inv(1 / S0 + 1 / C)
            return S @ (1 / S0 @ m0 + 1 / C @ x), S
            """,
            "entry by entry",
        ),
        (
            """
            S = S0 + C
            return torch.linalg.inv(S) @ (C @ m0 + S0 @ x), S
            """,
            "sum of the two covariances",
        ),
    ],
    "ex1_own": [
        ("sd_theta_1 = posterior(x_obs, m0, S0, C)[1][0, 0]", "variance"),
        ("sd_theta_1 = sd_0", "prior"),
        ("sd_theta_1 = sd_x", "noise"),
        ("sd_theta_1 = (1 / (1 / sd_0**2 + 1 / sd_x**2)).sqrt()", "correlations"),
        ("sd_theta_1 = posterior(x_obs, m0, S0, C)[1].diag().sqrt()", "single number"),
        ("sd_theta_1 = None", "Not answered"),
        ("sd_theta_1 = 'about 0.5'", "single number"),
        ("sd_theta_1 = float('nan')", "finite"),
        ("sd_theta_1 = 1 / posterior(x_obs, m0, S0, C)[1][0, 0].sqrt()", "too large"),
        ("sd_theta_1 = posterior(x_obs, m0, S0, C)[0][0]", "too|Not yet"),
    ],
    "ex2": [
        ("return alpha * z + sigma.sqrt() * eps", "variance"),
        ("return alpha * z + sigma**2 * eps", "sigma²"),
        ("return alpha * z + eps", "ignores sigma|does not depend"),
        ("return sigma * z + alpha * eps", "alpha belongs to z"),
        ("return z + sigma * eps", "alpha should scale"),
        ("return alpha.sqrt() * z + sigma * eps", "not by its root"),
        ("return alpha**2 * z + sigma * eps", "squared"),
        ("return alpha * z - sigma * eps", "sign"),
        ("return alpha[0] * z + sigma[0] * eps", "first row|alpha should scale"),
        ("return (1 - sigma) * z + sigma * eps", "as it is given"),
        ("return (1 - sigma**2).sqrt() * z + sigma * eps", "alpha is not used|as it is given"),
        ("z *= alpha\nreturn z + sigma * eps", "in place"),
    ],
    "ex3": [
        ("return y", "this is y"),
        ("return m.expand(len(y), -1)", "ignores y"),
        (
            "return m + (y - m) @ (S @ torch.linalg.inv(S + r * torch.eye(len(m)))).T",
            "squared",
        ),
        (
            "return m + (y - m) @ (r**2 * torch.linalg.inv(S + r**2 * torch.eye(len(m)))).T",
            "turned around",
        ),
        ("return y @ (S @ torch.linalg.inv(S + r**2 * torch.eye(len(m)))).T", "towards 0"),
        (
            "return (y - m) @ (S @ torch.linalg.inv(S + r**2 * torch.eye(len(m)))).T",
            "m is not added",
        ),
        (
            """
            D = m + (y - m) @ (S @ torch.linalg.inv(S + r**2 * torch.eye(len(m)))).T
            return (D - y) / r**2
            """,
            "score",
        ),
        (
            """
            D = m + (y - m) @ (S @ torch.linalg.inv(S + r**2 * torch.eye(len(m)))).T
            return (y - D) / r
            """,
            "off by",
        ),
        ("return m + (y - m) * S.diag() / (S.diag() + r**2)", "off-diagonal"),
        ("return m + (y - m) @ (S @ torch.linalg.inv(S + r**2)).T", "identity|singular"),
        ("return m + (y - m) @ (S @ torch.linalg.inv(S + 2 * r**2 * torch.eye(len(m)))).T", "1/5"),
    ],
    "ex4": [
        (
            "y = z + r * eps\nreturn ((denoiser(y, r) - y) / r - eps).square().sum(-1).mean()",
            "sign",
        ),
        (
            "y = z + r * eps\nreturn ((y - denoiser(y, r)) - eps).square().sum(-1).mean()",
            "division by r",
        ),
        (
            "y = z + r * eps\nreturn (denoiser(y, r) - eps).square().sum(-1).mean()",
            "guess of z with the noise",
        ),
        (
            "y = z + r * eps\nreturn ((y - denoiser(y, r)) / r - eps).square().mean()",
            "coordinates",
        ),
        ("y = z + r * eps\nreturn ((y - denoiser(y, r)) / r - eps).square().sum()", "batch"),
        (
            "y = z + r * eps\nreturn ((y - denoiser(y, r)) / r - eps).norm(dim=-1).mean()",
            "squared first",
        ),
        (
            "y = z + r * eps\n"
            "return ((y - denoiser(y, r)) / r - eps).square().sum(-1).mean().sqrt()",
            "root",
        ),
        ("y = z + r * eps\nreturn (denoiser(y, r) - z).square().sum(-1).mean()", "error of z"),
        (
            "y = z + r * eps\nreturn ((z - denoiser(y, r)) / r - eps).square().sum(-1).mean()",
            "takes z for y",
        ),
        ("y = z + eps\nreturn ((y - denoiser(y, r)) / r - eps).square().sum(-1).mean()", "an r is"),
        (
            "y = z + r * eps\nreturn ((y - denoiser(y, r)) / r**2 - eps).square().sum(-1).mean()",
            "one too many",
        ),
    ],
    "ex4_own": [
        ("lowest_loss = 0.0", "cannot know"),
        ("lowest_loss = 1.0", "guesses 0"),
        ("lowest_loss = s**2 * r**2 / (s**2 + r**2)", "error of z"),
        ("lowest_loss = r**2 / (s**2 + r**2)", "can be known"),
        ("lowest_loss = (s**2 / (s**2 + r**2)) ** 0.5", "sd"),
        ("lowest_loss = s / (s + r)", "variances add"),
        ("lowest_loss = None", "Not answered"),
        ("lowest_loss = s**2", "too|Not yet"),
        ("lowest_loss = -s**2 / (s**2 + r**2)", "too small"),
        ("lowest_loss = torch.tensor([0.3, 0.4])", "single number"),
    ],
    "ex5": [
        ("return y - (r_next - r) * (y - denoiser(y, r)) / r", "away"),
        ("return y + (r_next - r) * (y - denoiser(y, r))", "division by r"),
        ("return y + (r_next - r) * (y - denoiser(y, r)) / r**2", "1/r²"),
        ("return y + (r_next - r) * (y - denoiser(y, r)) / r_next", "r_next"),
        ("return denoiser(y, r)", "denoiser's guess|division"),
        ("return (r_next - r) * (y - denoiser(y, r)) / r", "change"),
        ("return y + (r_next - r) * (y - denoiser(y, r_next)) / r", "r_next"),
        ("return y + (r_next - r) * (denoiser(y, r) - y) / r", "away"),
        (
            """
            slope = (y - denoiser(y, r)) / r
            ahead = y + (r_next - r) * slope
            if r_next == 0:
                return ahead
            return y + (r_next - r) * (slope + (ahead - denoiser(ahead, r_next)) / r_next) / 2
            """,
            "twice",
        ),
        ("return y + (r_next - r) * y / r", "D is missing"),
    ],
}
