"""What speaks against a cheap model's answer: signs that can be had without asking anybody who knows better."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sourcebook.models.base import Completion, FinishReason, ModelRequest, ToolCall
from sourcebook.models.route.schema import schema_problem
from sourcebook.types import Hit

Ground = Literal["confidence", "error", "reason", "schema", "tools", "probability", "agreement"]
"""What a doubt rests on: what was found for the question; the call failed; why the reply ended; its JSON; its tool
calls; how probable its tokens were; whether a second sample says the same."""

Confidence = Callable[[Sequence[Hit]], float]
"""How sure it is, from 0 to 1, that the evidence, best first, holds the answer."""

Similarity = Callable[[str, str], float]
"""How much two texts say the same, from 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """A reason not to trust the cheap answer. explanation: for people."""

    ground: Ground
    explanation: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """Below what a cheap answer is doubted; 0 switches a sign off.

    confidence: of the evidence. probability: geometric mean of the tokens' probabilities, where the model tells
    them. agreement: similarity of two samples; costs a second cheap call. reasons: of a reply's end.
    """

    confidence: float = 0.0
    probability: float = 0.0
    agreement: float = 0.0
    reasons: tuple[FinishReason, ...] = ("unknown", "length", "filtered")


def doubt_before(request: ModelRequest, thresholds: Thresholds, confidence: Confidence) -> Doubt | None:
    """What speaks for asking the strong model at once. Requests without a question rest on no evidence."""
    if not thresholds.confidence or not request.question:
        return None
    found = confidence(request.evidence)
    if found >= thresholds.confidence:
        return None
    said = f"evidence of confidence {found:.2f}" if request.evidence else "no evidence"
    return Doubt(ground="confidence", explanation=f"{said}, where {thresholds.confidence:g} is wanted")


def doubt_after(
    request: ModelRequest, completion: Completion, thresholds: Thresholds, similarity: Similarity, second: str | None
) -> Doubt | None:
    """What speaks against the answer; second: another sample's text, if one was taken."""
    if completion.finish.reason in thresholds.reasons:
        return Doubt(ground="reason", explanation=f"the reply ended with {completion.finish.reason!r}")
    if completion.tool_calls:
        problem = tool_problem(request, completion.tool_calls)
        return Doubt(ground="tools", explanation=problem) if problem else None
    if request.schema is not None and (problem := schema_problem(completion.text, request.schema)):
        return Doubt(ground="schema", explanation=problem)
    if thresholds.probability and completion.logprobs:
        mean = math.exp(sum(completion.logprobs) / len(completion.logprobs))
        if mean < thresholds.probability:
            return Doubt(ground="probability", explanation=f"a token was {mean:.0%} probable on average")
    if thresholds.agreement and second is not None:
        alike = similarity(completion.text, second)
        if alike < thresholds.agreement:
            return Doubt(ground="agreement", explanation=f"two samples agree by {alike:.2f} only")
    return None


def channel_agreement(evidence: Sequence[Hit]) -> float:
    """How well the channels of the search agree on the best hit: the mean of 1 / its rank in each of them.

    A hit's score tells hits of one search apart and says nothing across searches, so that no threshold on it would
    mean anything. Ranks do: 1.0 if all channels put the hit first, 0.5 if one of two does and the other does not
    propose it, 0 without evidence. Hits without ranks (of another retriever) are judged by the lead of the best
    over the middle, as a share of the range of scores.
    """
    if not evidence:
        return 0.0
    channels = {channel for hit in evidence for channel in hit.channels}
    if channels:
        ranks = evidence[0].channels
        return sum(1.0 / ranks[channel] for channel in channels if channel in ranks) / len(channels)
    scores = sorted((hit.score for hit in evidence), reverse=True)
    spread = scores[0] - scores[-1]
    return (scores[0] - scores[len(scores) // 2]) / spread if spread > 0 else 1.0 if len(scores) == 1 else 0.0


def word_overlap(one: str, other: str) -> float:
    """F1 of the words that two texts share, counted with repetitions; characters where words are not spaced.

    As extractive question answering is scored (Rajpurkar et al., SQuAD, 2016), without its list of English articles.
    """
    first, second = Counter(_words(one)), Counter(_words(other))
    if not first and not second:
        return 1.0
    shared = (first & second).total()
    return 2.0 * shared / (first.total() + second.total())


def tool_problem(request: ModelRequest, calls: Sequence[ToolCall]) -> str:
    """Why tools cannot be run as asked; "" if they can."""
    parameters = {tool.name: tool.parameters for tool in request.tools}
    for call in calls:
        if call.name not in parameters:
            return f"it asked for a tool {call.name!r} that there is not"
        if problem := schema_problem(call.arguments or "{}", parameters[call.name]):
            return f"its call of {call.name}: {problem}"
    return ""


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


_UNSPACED: Final = r"\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # Thai, Korean, Chinese, ...
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
