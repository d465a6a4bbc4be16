"""A model asked something on the side: to reword a question, to sum up, to take notes. Nobody reads it as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from sourcebook.errors import DeadlineExceeded
from sourcebook.models.base import Completion, JsonSchema, Message, ModelRequest, complete
from sourcebook.prompt.thinking import without_thought

if TYPE_CHECKING:
    from sourcebook.models.base import Model


@dataclass(frozen=True, kw_only=True, slots=True)
class Payer:
    """Whose budget a call is charged to. answer_id: of the answer that it is for, in the ledger."""

    tenant: str = "default"
    account: str = "default"
    answer_id: str | None = None


async def ask_aside(
    model: Model,
    messages: Sequence[Message],
    *,
    purpose: str,
    tokens: int,
    seconds: float,
    payer: Payer,
    schema: JsonSchema | None = None,
    deadline: float | None = None,
) -> Completion:
    """The whole reply, at temperature 0, without thinking first, and without thoughts that stand in its text.

    tokens: of the reply at most. seconds: for the call; deadline: by `time.monotonic()`, if that is nearer.
    purpose: as the ledger has it. schema: of the reply, for a model that obeys one; any other is only told in words.
    Errors: Terminal, where asking again changes nothing; Transient, DeadlineExceeded also if the model lets it pass.
    """
    until = monotonic() + seconds if deadline is None else min(monotonic() + seconds, deadline)
    request = ModelRequest(
        messages=tuple(messages),
        max_output_tokens=tokens,
        temperature=0.0,
        reasoning="none",  # few tokens are given, and thoughts would take them
        schema=schema if model.capabilities.schema else None,
        streamed=False,
        deadline=until,
        tenant=payer.tenant,
        account=payer.account,
        purpose=purpose,
        answer_id=payer.answer_id,
    )
    try:
        async with asyncio.timeout(max(0.0, until - monotonic()) + _GRACE):
            reply = await complete(model, request)
    except TimeoutError as error:
        raise DeadlineExceeded(f"{model.name} did not answer within its time", remedy="Give it more time") from error
    return replace(reply, text=without_thought(reply.text))


_GRACE: Final = 0.25  # seconds; a model keeps its deadline by itself, and then says more about it
