"""What a frame of `EncoderLab` shows, in words."""

from __future__ import annotations

from diffsbi_edu.widgets.encoder_loop import EncoderFrame
from diffsbi_edu.widgets.encoder_menu import trained_range
from diffsbi_edu.widgets.encoder_picture import Moment

STILL = 0.01  # sds: what has moved less has not moved


def run_line(frame: EncoderFrame) -> str:
    """How far the run has come: HTML."""
    parts = [f"<b>{frame.phase.value}</b>", f"step {frame.step:,} of {frame.goal:,}"]
    if frame.loss is not None:
        parts.append(f"loss {frame.loss:.3f}")
    bar = f'<progress value="{frame.step}" max="{frame.goal}" aria-label="progress"></progress>'
    return f"&ensp;{bar}&ensp;" + " &ensp;·&ensp; ".join(parts)


def in_words(frame: EncoderFrame, moment: Moment) -> str:
    """The status of the dashboard, in a few sentences."""
    sentences = [_size(frame, moment), _suitability(frame)]
    if frame.step == 0:
        sentences.append("The network is untrained: press Train.")
    else:
        sentences.append(_width(moment))
    if moment.label != "original order":
        sentences.append(_movement(moment))
    return " ".join(s for s in sentences if s)


def _size(frame: EncoderFrame, moment: Moment) -> str:
    n, trained = len(moment.x), trained_range(frame.problem)
    if trained is None or trained == (n, n):
        return f"N = {n}."
    low, high = trained
    sizes = f"N = {low} to {high}" if low < high else f"N = {low} only"
    if moment.extrapolating:
        return f"N = {n}: extrapolating, since {frame.encoder} is trained on {sizes}."
    return f"N = {n}; {frame.encoder} is trained on {sizes}."


def _suitability(frame: EncoderFrame) -> str:
    assumed, kind = frame.symmetry, frame.problem.data_kind
    if (assumed, kind) == ("set", "sequence"):
        return "It cannot see the order of the steps, which is most of what a series says."
    if (assumed, kind) == ("sequence", "set"):
        return "It has to learn from examples that the order means nothing."
    return ""


def _width(moment: Moment) -> str:
    ratio = moment.sd_ratio
    if ratio is None:
        return "There is no exact posterior to compare with."
    return f"The learned posterior's sds are {ratio:.2f} times the exact ones."


def _movement(moment: Moment) -> str:
    learned = f"the learned posterior has moved {moment.moved:.2f} sds"
    since = f"Since the original order s has moved {moment.summary_moved:.2f} sds, {learned}"
    if moment.exact_moved is None:
        return f"{since}."
    since += f", the exact one {moment.exact_moved:.2f}"
    sees, matters = moment.moved > STILL, moment.exact_moved > STILL
    verdict = {
        (False, False): "the order says nothing, and the network knows",
        (True, False): "the order says nothing, but the network looks at it",
        (False, True): "the order says something, and the network does not see it",
        (True, True): "the order says something, and the network looks at it",
    }
    return f"{since}: {verdict[sees, matters]}."
