"""Typical mistakes in problem set 3: answer → [(what is written instead, words of the message)]."""


def _spoil(right: str, *changes: tuple[str, str]) -> str:
    """The right answer with some of its text replaced."""
    for old, new in changes:
        assert old in right, old
        right = right.replace(old, new)
    return right


HAT = """
D = theta.shape[-1]
u2 = ((x - theta) / width).square().sum(-1)
log_normal = -0.5 * u2 - D * math.log(width * math.sqrt(2 * math.pi))
log_brim = torch.full_like(log_normal, math.log(brim))
return torch.logaddexp(math.log(1 - brim) + log_normal, log_brim)
"""
MIX = "torch.logaddexp(math.log(1 - brim) + log_normal, log_brim)"

BOX = """
theta = low + (high - low) * torch.special.ndtr(z)
log_slope = -0.5 * z.square() - 0.5 * math.log(2 * math.pi)
return theta, (log_slope + (high - low).log()).sum(-1)
"""
PHI = "torch.special.ndtr(z)"

STACK = """
u, log_det = z, torch.zeros(len(z))
for shift, log_scale in zip(shifts, log_scales):
    u = (u - shift) * torch.exp(-log_scale)
    log_det = log_det - log_scale.sum(-1)
return -0.5 * (u.square() + math.log(2 * math.pi)).sum(-1) + log_det
"""

CLIP = """
norm = torch.cat([g.flatten() for g in gradients]).norm()
factor = torch.clamp(limit / (norm + 1e-12), max=1.0)
return [factor * g for g in gradients], norm
"""

CURVES = """
medians = losses.unfold(1, window, 1).median(-1).values
diverged = ~losses.isfinite().all(1) | (medians[:, -1] > medians[:, 0])
now = losses[:, window:]
raised = now.isfinite() & (now > medians[:, :-1] + height)
before = torch.cat([torch.zeros(len(losses), 1, dtype=torch.bool), raised[:, :-1]], 1)
return diverged, (raised & ~before).sum(1)
"""
NOT_FINITE = "~losses.isfinite().all(1) | "
COUNT = "(raised & ~before).sum(1)"

MISTAKES = {
    "ex1": [
        (_spoil(HAT, (MIX, "log_normal")), "brim is missing"),
        (_spoil(HAT, (MIX, "math.log(1 - brim) + log_normal")), "add the brim"),
        (_spoil(HAT, (MIX, "math.log(1 - brim) + log_normal + log_brim")), "are added"),
        (
            _spoil(
                HAT, ("math.log(1 - brim)", "math.log(brim)"), ("log(brim))\n", "log(1 - brim))\n")
            ),
            "1 − b",
        ),
        (_spoil(HAT, ("math.log(brim)", "0.0")), "without its weight"),
        (_spoil(HAT, ("math.log(brim)", "D * math.log(brim)")), "as a whole"),
        (
            """
            u = (x - theta) / width
            each = (1 - brim) * (-0.5 * u**2).exp() / (width * math.sqrt(2 * math.pi)) + brim
            return each.log().sum(-1)
            """,
            "as a whole",
        ),
        (_spoil(HAT, (MIX, MIX + ".exp()")), "return its logarithm"),
        (_spoil(HAT, ("math.log(brim)", "math.log(brim / 0.8**D)")), "prior"),
        (_spoil(HAT, ("math.log(brim)", "math.log(brim * 0.8**D)")), "prior's box"),
        (_spoil(HAT, (MIX, MIX + ".sum()")), "sum over the batch"),
        (
            _spoil(HAT, (" - D * math.log(width * math.sqrt(2 * math.pi))", "")),
            "lacks its constant",
        ),
        (_spoil(HAT, (" - D * math", " - math")), "one for each coordinate"),
        (_spoil(HAT, ("width * math.sqrt(2 * math.pi)", "width")), "√"),
        (_spoil(HAT, ("width * math.sqrt(2 * math.pi)", "math.sqrt(2 * math.pi)")), "lacks w"),
        (_spoil(HAT, (" - D * math", " + D * math")), "denominator"),
        (_spoil(HAT, ("-0.5 * u2", "-u2")), "1/2"),
        (_spoil(HAT, ("square().sum(-1)", "square().mean(-1)")), "averaged over coordinates"),
        (_spoil(HAT, ("square().sum(-1)", "norm(dim=-1)")), "needs its square"),
        (_spoil(HAT, ("math.log(1 - brim) + log", "log")), "weight 1"),
        (_spoil(HAT, ("u2 =", "width = width**0.5\nu2 =")), "for the variance"),
        (
            _spoil(HAT, (MIX, "torch.maximum(math.log(1 - brim) + log_normal, log_brim)")),
            "larger part",
        ),
        (_spoil(HAT, (MIX, "((1 - brim) * log_normal.exp() + brim).log()")), "stay in logarithms"),
        ("return torch.zeros(len(theta))", "weight|Not yet"),
    ],
    "ex1_own": [
        ("brim_mass = hat_brim * 0.8**3 / (hat_brim * 0.8**3 + 1 - hat_brim)", "whole spike"),
        (
            """
            spike = (1 - hat_brim) * torch.special.ndtr(-c)
            brim_mass = spike / (hat_brim * 0.8**3 + spike)
            """,
            "spike's share",
        ),
        (
            """
            spike = (1 - hat_brim) * torch.special.ndtr(c)
            brim_mass = hat_brim * 0.8**3 / (hat_brim * 0.8**3 + spike)
            """,
            "drops the part inside",
        ),
        (
            "brim_mass = hat_brim / (hat_brim + (1 - hat_brim) * torch.special.ndtr(-c))",
            "prior density",
        ),
        (
            """
            spike = (1 - hat_brim) * torch.special.ndtr(-c)
            brim_mass = hat_brim * 0.8 / (hat_brim * 0.8 + spike)
            """,
            "power D",
        ),
        (
            """
            spike = (1 - hat_brim) * torch.special.ndtr(-c)
            brim_mass = hat_brim / (hat_brim + spike * 0.8**3)
            """,
            "wrong side",
        ),
        (
            """
            spike = (1 - hat_brim) * torch.special.ndtr(-c) ** 3
            brim_mass = hat_brim * 0.8**3 / (hat_brim * 0.8**3 + spike)
            """,
            "only the first",
        ),
        ("brim_mass = hat_brim * 0.8**3 / ((1 - hat_brim) * torch.special.ndtr(-c))", "odds"),
        ("brim_mass = 0.8**3 / (0.8**3 + torch.special.ndtr(-c))", "prior weights"),
        ("brim_mass = hat_brim * 0.8**3 / (hat_brim * 0.8**3 + torch.special.ndtr(-c))", "1 − b"),
        (
            """
            spike = (1 - hat_brim) * torch.special.ndtr(-c * hat_width)
            brim_mass = hat_brim * 0.8**3 / (hat_brim * 0.8**3 + spike)
            """,
            "divided by w",
        ),
        (
            """
            spike = (1 - hat_brim) * torch.special.ndtr(-c / hat_width)
            brim_mass = hat_brim * 0.8**3 / (hat_brim * 0.8**3 + spike)
            """,
            "once too often",
        ),
        ("brim_mass = hat_brim", "before x was seen"),
        ("brim_mass = None", "Not answered"),
    ],
    "ex2": [
        (_spoil(BOX, (PHI, "z")), "Φ"),
        (_spoil(BOX, (PHI, "torch.sigmoid(z)")), "logistic"),
        (_spoil(BOX, (PHI, "torch.erf(z / math.sqrt(2))")), "Φ"),
        (_spoil(BOX, (PHI, "((1 + torch.erf(z)) / 2)")), "erf has other units"),
        (_spoil(BOX, (PHI, "((1 + torch.tanh(z)) / 2)")), "tanh"),
        (_spoil(BOX, (PHI, "(0.5 + z).clamp(0, 1)")), "stops at the walls"),
        (_spoil(BOX, (PHI, "((-(z**2) / 2).exp() / math.sqrt(2 * math.pi))")), "normal density"),
        (_spoil(BOX, (PHI, "torch.special.ndtri(z)")), "infinite|not a number"),
        (_spoil(BOX, ("low + (high - low) * t", "low + high * t")), "high − low"),
        (_spoil(BOX, ("low + (high - low) * t", "(high - low) * t")), "low has to be added"),
        (_spoil(BOX, ("low + (high - low) * t", "high - (high - low) * t")), "swapped"),
        (_spoil(BOX, ("theta, (log", "theta, -(log")), "other direction"),
        (_spoil(BOX, (" + (high - low).log()", "")), "sides of the box are missing"),
        (_spoil(BOX, (" + (high - low).log()", " - (high - low).log()")), "divided by"),
        (_spoil(BOX, (".sum(-1)", ".mean(-1)")), "averages over coordinates"),
        (_spoil(BOX, (".sum(-1)", "")), "single number"),
        (_spoil(BOX, (".sum(-1)", ".sum(-1).exp()")), "return its logarithm"),
        (_spoil(BOX, (" - 0.5 * math.log(2 * math.pi)", "")), "normal density"),
        (_spoil(BOX, ("-0.5 * z.square()", "0.5 * z.square()")), "sign of z²/2"),
        (_spoil(BOX, ("-0.5 * z.square()", "-z.square()")), "factor 1/2"),
        (
            """
            phi = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
            theta = low + (high - low) * torch.special.ndtr(z)
            return theta, ((high - low) * phi).prod(-1).log()
            """,
            "not the logarithm of it",
        ),
        (
            """
            u = torch.special.ndtr(z)
            return low + (high - low) * u, (u * (high - low)).log().sum(-1)
            """,
            "Φ for its slope",
        ),
        (_spoil(BOX, ("-0.5 * z.square()", "0 * z")), "slope at 0"),
    ],
    "ex2_own": [
        (
            """
            z_1 = torch.special.ndtri((theta_1 - 0.1) / 0.8)
            phi = torch.exp(-(z_1**2) / 2) / math.sqrt(2 * math.pi)
            contraction = fine_width / (0.8 * phi)
            """,
            "turned around",
        ),
        ("contraction = 0.8 / math.sqrt(2 * math.pi) / fine_width", "middle of the box"),
        (
            """
            z_1 = torch.special.ndtri((theta_1 - 0.1) / 0.8)
            phi = torch.exp(-(z_1**2) / 2) / math.sqrt(2 * math.pi)
            contraction = phi / fine_width
            """,
            "side of the box is missing",
        ),
        (
            """
            z_1 = torch.special.ndtri((theta_1 - 0.1) / 0.8)
            phi = torch.exp(-(z_1**2) / 2) / math.sqrt(2 * math.pi)
            contraction = phi / (0.8 * fine_width)
            """,
            "just once",
        ),
        ("contraction = 0.8 / fine_width", "compare both in z"),
        ("contraction = 0.8 / math.sqrt(12) / fine_width", "sd in theta"),
        (
            """
            z_1 = torch.special.ndtri((theta_1 - 0.1) / 0.8)
            phi = torch.exp(-(z_1**2) / 2) / math.sqrt(2 * math.pi)
            contraction = 0.8 * phi / fine_width**0.5
            """,
            "not by its root",
        ),
        (
            """
            z_1 = torch.special.ndtri((theta_1 - 0.1) / 0.8)
            phi = torch.exp(-(z_1**2) / 2) / math.sqrt(2 * math.pi)
            contraction = 0.8 * phi
            """,
            "slope alone",
        ),
        (
            """
            z_1 = torch.special.ndtri((theta_1 - 0.1) / 0.8)
            phi = torch.exp(-(z_1**2) / 2) / math.sqrt(2 * math.pi)
            contraction = torch.log(0.8 * phi / fine_width)
            """,
            "logarithm",
        ),
        (
            """
            phi = torch.exp(-(theta_1**2) / 2) / math.sqrt(2 * math.pi)
            contraction = 0.8 * phi / fine_width
            """,
            "at z, not at theta",
        ),
        ("contraction = (theta_1 - 0.1) / fine_width", "Φ for its slope"),
        ("contraction = 16.0", "too|Not yet"),
        ("contraction = None", "Not answered"),
    ],
    "ex3": [
        (_spoil(STACK, (" + log_det\n", "\n")), "log scales are missing"),
        (_spoil(STACK, ("log_det - log_scale", "log_det + log_scale")), "sign of the log det"),
        (_spoil(STACK, ("log_det = log_det - log", "log_det = -log")), "only the last"),
        (_spoil(STACK, (" + log_det\n", " - log_scales[0].sum(-1)\n")), "only the first"),
        (_spoil(STACK, (" + log_det\n", " - log_scales.mean(0).sum(-1)\n")), "over the layers"),
        (
            _spoil(STACK, ("zip(shifts, log_scales)", "zip(shifts.flip(0), log_scales.flip(0))")),
            "wrong order",
        ),
        (_spoil(STACK, ("exp(-log", "exp(log")), "minus"),
        (_spoil(STACK, ("exp(-log", "exp(log"), ("log_det - log", "log_det + log")), "minus"),
        (
            _spoil(
                STACK, ("(u - shift) * torch.exp(-log_scale)", "u * torch.exp(-log_scale) - shift")
            ),
            "shift first",
        ),
        (_spoil(STACK, ("(u - shift)", "u")), "shifts are not used"),
        (_spoil(STACK, ("(u - shift)", "(u + shift)")), "shift is added"),
        (
            _spoil(STACK, ("log_det - log_scale.sum", "log_det - log_scale.exp().sum")),
            "not the scales",
        ),
        (_spoil(STACK, ("* torch.exp(-log_scale)", "/ log_scale")), "not a number"),
        (_spoil(STACK, ("(u - shift)", "(z - shift)")), "what the one before"),
        (
            _spoil(STACK, (" + math.log(2 * math.pi)).sum(-1)", ").sum(-1)")),
            "constant of the normal",
        ),
        (
            _spoil(
                STACK,
                (" + math.log(2 * math.pi)).sum(-1)", ").sum(-1) - 0.5 * math.log(2 * math.pi)"),
            ),
            "every coordinate",
        ),
        (_spoil(STACK, ("math.log(2 * math.pi)", "2 * math.log(2 * math.pi)")), "twice too large"),
        (_spoil(STACK, ("u.square()", "2 * u.square()")), "factor 1/2"),
        (_spoil(STACK, ("(u.square()", "(-u.square()")), "wrong sign"),
        (
            _spoil(STACK, ("2 * math.pi)).sum(-1)", "2 * math.pi)).mean(-1)")),
            "averages over coordinates",
        ),
        (_spoil(STACK, ("log_scale.sum(-1)", "log_scale.mean(-1)")), "summed over coordinates"),
        (_spoil(STACK, ("log_scale.sum(-1)", "log_scale.sum()")), "over the batch as well"),
        (
            _spoil(STACK, ("log_scale.sum(-1)", "log_scale.sum(-1).mean()")),
            "averaged over the batch",
        ),
        (_spoil(STACK, (" + log_det\n", " + log_det.exp()\n")), "off by|Not yet"),
        (
            _spoil(
                STACK,
                ("+ log_det\n", "+ log_det\n"),
                ("return -", "return (-"),
                ("+ log_det\n", "+ log_det).exp()\n"),
            ),
            "logarithm",
        ),
        (
            _spoil(
                STACK,
                (
                    "shift, log_scale in zip(shifts, log_scales)",
                    "shift, log_scale in zip(shifts[:, :1], log_scales[:, :1])",
                ),
            ),
            "first row|over the batch",
        ),
        (
            _spoil(
                STACK,
                ("u, log_det = z,", "u = z\nlog_det ="),
                ("u = (u - shift) *", "u -= shift\n    u *="),
            ),
            "in place",
        ),
    ],
    "ex3_own": [
        ("best_scale = spike_width", "brim pulls"),
        ("best_scale = (1 - share) * spike_width**2 + share * 0.8**2 / 12", "variance"),
        (
            "best_scale = 0.5 * torch.log((1 - share) * spike_width**2 + share * 0.8**2 / 12)",
            "log scale",
        ),
        ("best_scale = (1 - share) * spike_width + share * 0.8 / 12**0.5", "sds do not average"),
        ("best_scale = (share * spike_width**2 + (1 - share) * 0.8**2 / 12) ** 0.5", "swapped"),
        ("best_scale = ((1 - share) * spike_width**2 + share * 0.8**2) ** 0.5", "this is side²"),
        ("best_scale = ((1 - share) * spike_width**2 + share * 0.4**2) ** 0.5", r"\(side/2\)²"),
        ("best_scale = ((1 - share) * spike_width**2 + share / 12) ** 0.5", "0.8, not 1"),
        ("best_scale = (share * 0.8**2 / 12) ** 0.5", "spike is missing"),
        ("best_scale = ((1 - share) * spike_width**2 + 0.8**2 / 12) ** 0.5", "its share p"),
        ("best_scale = 0.8 / 12**0.5", "brim's sd"),
        (
            "best_scale = (1 - share) * spike_width * (2 / math.pi) ** 0.5 + share * 0.2",
            "mean distance",
        ),
        ("best_scale = ((1 - share) * spike_width**2 + share * 0.8**2 / 12) ** -0.5", "1 / scale"),
        ("best_scale = None", "Not answered"),
    ],
    "ex4_flow": [
        ("pull_flow = (d / scale) ** 2 - 1", "log q; the loss"),
        ("pull_flow = -((d / scale) ** 2)", "determinant is missing"),
        ("pull_flow = (d / scale) ** 2", "determinant is missing"),
        ("pull_flow = -1 - (d / scale) ** 2", "plus sign"),
        ("pull_flow = 1 + (d / scale) ** 2", "larger scale lowers"),
        ("pull_flow = -d / scale**2", "with respect to the shift"),
        ("pull_flow = d / scale**2", "with respect to the shift"),
        ("pull_flow = (1 - (d / scale) ** 2) / scale", "chain rule"),
        ("pull_flow = 1 - (d / scale) ** 2 / 2", "factor 1/2 goes"),
        ("pull_flow = 1 - 2 * (d / scale) ** 2", "takes the 1/2 away"),
        ("pull_flow = 1 - d / scale", "has to be squared"),
        ("pull_flow = 1 - d**2 / scale", "scale has to be squared as well"),
        (
            "pull_flow = 0.5 * (d / scale) ** 2 + torch.log(scale * math.sqrt(2 * math.pi))",
            "loss itself",
        ),
        ("pull_flow = None", "Not answered"),
    ],
    "ex4_diffusion": [
        ("pull_diffusion = d * r / (scale**2 + r**2)", "2 is missing"),
        ("pull_diffusion = -2 * d * r / (scale**2 + r**2)", "sign"),
        ("pull_diffusion = (d * r / (scale**2 + r**2)) ** 2", "loss itself"),
        ("pull_diffusion = 2 * d * r**2 / (scale**2 + r**2)", "divide by r to guess"),
        ("pull_diffusion = 2 * d / (scale**2 + r**2)", "divides by r twice"),
        ("pull_diffusion = 2 * d / r", "just return m"),
        ("pull_diffusion = 2 * d / (scale + r)", "variances add"),
        ("pull_diffusion = 2 * d * scale**2 / (scale**2 + r**2) / r", "turned around"),
        ("pull_diffusion = 1 - (d / scale) ** 2", "flow's pull"),
        ("pull_diffusion = d / scale", "largest pull"),
        ("pull_diffusion = 2 * d * (scale**2 / (scale**2 + r**2) - 1)", "error of z"),
        ("pull_diffusion = None", "Not answered"),
        ("pull_diffusion = 0.0", "too small"),
    ],
    "ex4": [
        (_spoil(CLIP, ("], norm\n", "], factor * norm\n")), "after clipping"),
        (_spoil(CLIP, (".norm()", ".square().sum()")), "square of the norm"),
        (_spoil(CLIP, (".norm()", ".abs().sum()")), "absolute values"),
        (_spoil(CLIP, (".norm()", ".sum()")), "plain entries"),
        (
            """
            norm = sum(g.norm() for g in gradients)
            return [g * min(1, limit / norm) for g in gradients], norm
            """,
            "adds the norms",
        ),
        (_spoil(CLIP, (".norm()", ".abs().max()")), "largest"),
        (_spoil(CLIP, (".norm()", ".square().mean().sqrt()")), "root mean square"),
        (
            """
            norm = gradients[0].norm()
            return [g * min(1, limit / norm) for g in gradients], norm
            """,
            "first tensor",
        ),
        (
            _spoil(
                CLIP,
                ("[factor * g for g in gradients]", "[g.clamp(-limit, limit) for g in gradients]"),
            ),
            "one by one",
        ),
        (
            _spoil(
                CLIP,
                (
                    "[factor * g for g in gradients]",
                    "[g * torch.clamp(limit / g.norm(), max=1) for g in gradients]",
                ),
            ),
            "one norm for all",
        ),
        (
            _spoil(CLIP, ("torch.clamp(limit / (norm + 1e-12), max=1.0)", "1 / norm")),
            "multiply by the limit",
        ),
        (
            _spoil(CLIP, ("torch.clamp(limit / (norm + 1e-12), max=1.0)", "1 / limit")),
            "divides by the limit",
        ),
        (_spoil(CLIP, ("(norm + 1e-12)", "norm**2")), "square of the norm"),
        (
            _spoil(CLIP, ("torch.clamp(limit / (norm + 1e-12), max=1.0)", "norm / limit")),
            "scales up",
        ),
        (_spoil(CLIP, ("factor * g", "g")), "nothing was clipped"),
        (
            _spoil(CLIP, ("torch.clamp(limit / (norm + 1e-12), max=1.0)", "limit / norm")),
            "scaled up to the limit",
        ),
        (_spoil(CLIP, ("max=1.0", "min=1.0")), "nothing was clipped"),
        (
            _spoil(
                CLIP,
                (
                    "torch.clamp(limit / (norm + 1e-12), max=1.0)",
                    "limit / norm if norm > limit else 1 / norm",
                ),
            ),
            "norm 1",
        ),
        (
            _spoil(
                CLIP, ("[factor * g for g in gradients]", "[g.mul_(factor) for g in gradients]")
            ),
            "in place",
        ),
        (
            _spoil(
                CLIP,
                (
                    "[factor * g for g in gradients]",
                    "factor * torch.cat([g.flatten() for g in gradients])",
                ),
            ),
            "one long vector",
        ),
        (_spoil(CLIP, ("factor * g for", "(factor * g).flatten() for")), "keep its shape"),
        (
            _spoil(
                CLIP,
                (
                    "torch.clamp(limit / (norm + 1e-12), max=1.0)",
                    "(limit / norm if limit / norm < 1 else norm / norm)",
                ),
            ),
            "mind the division|not a number",
        ),
    ],
    "ex5": [
        (
            """
            medians = losses.unfold(1, window, 1).median(-1).values
            diverged = ~losses.isfinite().all(1) | (medians[:, -1] > medians[:, 0])
            now = losses[:, window:]
            raised = now.isfinite() & (now > medians[:, 1:] + height)
            before = torch.cat([torch.zeros(len(losses), 1, dtype=torch.bool), raised[:, :-1]], 1)
            return diverged, (raised & ~before).sum(1)
            """,
            "ends with the step itself",
        ),
        (_spoil(CURVES, ("medians[:, -1] >", "medians[:, -1] <")), "comparison is turned"),
        (_spoil(CURVES, (NOT_FINITE, "")), "NaN > 1 is false"),
        (_spoil(CURVES, (NOT_FINITE, "losses.isnan().any(1) | ")), "infinite losses"),
        (_spoil(CURVES, (NOT_FINITE, "~losses[:, -1].isfinite() | ")), "anywhere"),
        (_spoil(CURVES, (" | (medians[:, -1] > medians[:, 0])", "")), "finite losses can diverge"),
        (
            _spoil(CURVES, ("(medians[:, -1] > medians[:, 0])", "(losses[:, -1] > losses[:, 0])")),
            "not the last loss",
        ),
        (
            _spoil(
                CURVES,
                (
                    "medians = losses.unfold(1, window, 1).median(-1).values",
                    "medians = losses.unfold(1, window, 1).mean(-1)",
                ),
            ),
            "not means",
        ),
        (_spoil(CURVES, ("(medians[:, -1] >", "(medians.amax(1) >")), "only the end"),
        (_spoil(CURVES, ("> medians[:, 0])", "> medians.amin(1))")), "not with the best"),
        (_spoil(CURVES, ("return diverged,", "return diverged.any(),")), "give one for each"),
        (_spoil(CURVES, (COUNT, "raised.sum(1)")), "unbroken stretch"),
        (_spoil(CURVES, (COUNT, "(raised & before).sum(1)")), "not seen|A single"),
        (_spoil(CURVES, (COUNT, "raised.any(1).long()")), "how many there are"),
        (_spoil(CURVES, (COUNT, "(raised[:, 1:] != raised[:, :-1]).sum(1)")), "fall back"),
        (
            _spoil(CURVES, ("now = losses[:, window:]", "now = losses[:, window - 1:-1]")),
            "last step|before\\*|single high",
        ),
        (
            _spoil(
                CURVES,
                ("now = losses[:, window:]", "now = losses[:, window - 1:]"),
                ("medians[:, :-1] + h", "medians + h"),
            ),
            "step 4",
        ),
        (
            _spoil(CURVES, (COUNT, "(raised[:, :-1] & ~before[:, :-1]).sum(1)")),
            "last step was left out",
        ),
        (
            _spoil(CURVES, (COUNT, "(raised[:, 1:] & ~raised[:, :-1]).sum(1)")),
            "first step that can be raised",
        ),
        (
            _spoil(
                CURVES,
                ("(now > medians[:, :-1] + height)", "((now - medians[:, :-1]).abs() > height)"),
            ),
            "not falls",
        ),
        (_spoil(CURVES, (":-1] + height)", ":-1])")), "height"),
        (
            _spoil(
                CURVES,
                (
                    "now > medians[:, :-1] + height",
                    "now > losses.unfold(1, window, 1).amin(-1)[:, :-1] + height",
                ),
            ),
            "from the median",
        ),
        (
            _spoil(CURVES, ("now > medians[:, :-1] + height", "now > medians[:, :1] + height")),
            "start of the run",
        ),
        (
            _spoil(
                CURVES, ("now > medians[:, :-1] + height", "now > medians[:, :-1] * (1 + height)")
            ),
            "ratio",
        ),
        (_spoil(CURVES, ("now.isfinite() & ", "")), "ask for finite"),
        (
            _spoil(
                CURVES,
                (
                    "now = losses[:, window:]",
                    "now = torch.cat([losses[:, window - 1:window], losses[:, window:]], 1)",
                ),
                ("medians[:, :-1] + h", "torch.cat([medians[:, :1], medians[:, :-1]], 1) + h"),
            ),
            "step 4",
        ),
        (
            _spoil(CURVES, ("losses.unfold(1, window, 1)", "losses.unfold(0, 1, 1)")),
            "Error|Not yet",
        ),
    ],
    "ex5_own": [
        ("spikes_per_run = read_curves(losses, 21, 1.0)[1].double().mean()", "over all runs"),
        (
            "bad, k = read_curves(losses, 21, 1.0)\nspikes_per_run = k[bad].double().mean()",
            "did diverge",
        ),
        (
            "bad, k = read_curves(losses, 21, 1.0)\nspikes_per_run = k[~bad].sum() / 16",
            "all sixteen",
        ),
        (
            "bad, k = read_curves(losses, 21, 1.0)\nspikes_per_run = k[~bad].sum()",
            "divide by their number",
        ),
        ("spikes_per_run = read_curves(losses, 21, 1.0)[1].sum()", "sum over all runs"),
        (
            """
            middle = losses.unfold(1, 21, 1).median(-1).values[:, :-1]
            raised = (losses[:, 21:] > middle + 1).sum(1)
            bad, k = read_curves(losses, 21, 1.0)
            spikes_per_run = raised[~bad].double().mean()
            """,
            "raised steps",
        ),
        (
            "spikes_per_run = read_curves(losses, 21, 1.0)[0].double().mean()",
            "share of runs that div",
        ),
        ("spikes_per_run = (~read_curves(losses, 21, 1.0)[0]).double().mean()", "that did not div"),
        (
            """
            good = losses.isfinite().all(1)
            spikes_per_run = read_curves(losses, 21, 1.0)[1][good].double().mean()
            """,
            "jumped",
        ),
        ("bad, k = read_curves(losses, 21, 1.0)\nspikes_per_run = k[~bad].max()", "largest"),
        ("bad, k = read_curves(losses, 21, 1.0)\nspikes_per_run = k[~bad]", "single number"),
        ("spikes_per_run = losses.mean()", "finite"),
        ("spikes_per_run = None", "Not answered"),
    ],
    "ex5_zero": [
        ("largest = 0.0", "none can happen"),
        ("largest = 0.05 ** (1 / runs)", "goes well"),
        ("largest = 3 / runs", "rule of thumb"),
        ("largest = 1 - 0.05", "power n"),
        ("largest = 1 - 0.95 ** (1 / runs)", "95 %"),
        ("largest = 1 / runs", "one in n"),
        ("largest = 1 / (runs + 2)", "Laplace"),
        ("largest = 1 - 0.05**runs", "1/n, not n"),
        ("largest = -math.log(0.05) / runs", "rule of thumb"),
        ("largest = 1 - 0.025 ** (1 / runs)", "2.5 %"),
        ("largest = 1 - 0.1 ** (1 / runs)", "10 %"),
        ("largest = 100 * (1 - 0.05 ** (1 / runs))", "per cent"),
        ("largest = None", "Not answered"),
    ],
}
