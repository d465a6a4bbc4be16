"""What a call costs: exactly after it, within bounds before it. Micro-US-dollars, integers.

A call's cost is the exact sum over its tokens, rounded up once to a whole micro-dollar. Rounding up is the choice
with which a budget is never overdrawn by rounding; a ledger of a million calls is at most one dollar too high.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from sourcebook.models.base import Message, ModelRequest, Tool
from sourcebook.models.cost.images import image_tokens
from sourcebook.models.cost.known import KnownModel, Overhead, Rates
from sourcebook.models.cost.tokens import TokenCounter, counter_for, is_estimate
from sourcebook.types import Usage

_MILLION = 1_000_000
_LEAST, _MOST = 60, 110  # per cent of an estimated count that a prompt has at least, and at most


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a call will cost: between `low` and `high`.

    low: the prompt read from the vendor's cache as far as that exists, and no reply. high: the whole prompt at its
    dearest and the longest reply that is allowed. input_tokens: the prompt as counted, output_tokens: of that reply.
    priced: false if no price is known; then low and high are 0 and mean nothing.
    """

    low: int
    high: int
    input_tokens: int
    output_tokens: int
    counted_by: str
    priced: bool = True


def price(usage: Usage, known: KnownModel, *, day: date | None = None) -> int:
    """The cost of a call in micro-dollars, rounded up; day: UTC, None: today. 0 for free models, and without a price.

    Tokens read from and written to the cache are part of input_tokens and priced apart; reasoning tokens are part of
    output_tokens and cost what those cost.
    """
    rates = known.rates_for(usage.input_tokens, day)
    if rates is None or known.free:
        return 0
    cached = min(usage.cached_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - cached)
    parts = (
        (usage.input_tokens - cached - written) * rates.input
        + cached * _or(rates.cached, rates.input)
        + written * _or(rates.cache_write, rates.input)
        + usage.output_tokens * rates.output
    )
    return -(-parts // _MILLION)


def estimate(
    request: ModelRequest, known: KnownModel, *, counter: TokenCounter | None = None, day: date | None = None
) -> Estimate:
    """What a call will cost, before it is made. counter: None takes the one for the model's tokenizer."""
    counter = counter or counter_for(known.tokenizer)
    prompt = prompt_tokens(request, counter.count, overhead=known.overhead, known=known)
    reply = longest_reply(request, known)
    rates = known.rates_for(prompt, day)
    if known.free or rates is None:
        low = high = 0
    else:
        least = most = prompt
        if is_estimate(counter.name):
            least, most = prompt * _LEAST // 100, -(-prompt * _MOST // 100)
            rates = known.rates_for(most, day) or rates
        below = known.rates_for(least, day) or rates
        low = least * min(below.input, _or(below.cached, below.input)) // _MILLION
        high = -(-(most * dearest(rates) + reply * rates.output) // _MILLION)
    return Estimate(
        low=low,
        high=high,
        input_tokens=prompt,
        output_tokens=reply,
        counted_by=counter.name,
        priced=known.priced,
    )


def longest_reply(request: ModelRequest, known: KnownModel | None) -> int:
    """Tokens that the model may write."""
    return min(request.max_output_tokens, (known.output if known is not None else 0) or request.max_output_tokens)


def dearest(rates: Rates) -> int:
    """The most that a prompt token can cost: written to the vendor's cache, where that costs more than being read."""
    return max(rates.input, _or(rates.cache_write, rates.input))


def prompt_tokens(
    request: ModelRequest,
    count: Callable[[str], int],
    *,
    overhead: Overhead | None = None,
    known: KnownModel | None = None,
) -> int:
    """Tokens of the whole prompt: messages, pictures, tools, schema, and what the vendor puts around them."""
    around = overhead or Overhead()
    rule = known.image if known is not None else None
    total = around.request
    for message in request.messages:
        total += around.message + count(_text(message)) + sum(image_tokens(one, rule) for one in message.images)
    if request.tools:
        total += around.tools + sum(around.tool + count(_described(one)) for one in request.tools)
    if request.schema is not None:
        total += around.tool + count(json.dumps(request.schema, ensure_ascii=False))
    return total


def _text(message: Message) -> str:
    """All of a turn's text: what was said, thought and called."""
    parts = [message.text, *(one.text for one in message.thoughts)]
    parts += [f"{one.name}\n{one.arguments}" for one in message.tool_calls]
    return "\n".join(part for part in parts if part)


def _described(tool: Tool) -> str:
    return f"{tool.name}\n{tool.description}\n{json.dumps(tool.parameters, ensure_ascii=False)}"


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
