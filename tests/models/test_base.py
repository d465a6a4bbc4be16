"""A reply put together from its events."""

from collections.abc import AsyncGenerator

import pytest

from sourcebook.errors import Interrupted
from sourcebook.models.base import (
    Capabilities,
    CitedPart,
    Finish,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    Switched,
    TextPart,
    Thought,
    ToolCall,
    ToolCallPart,
    complete,
)


class Scripted:
    name, window, capabilities = "scripted", 1000, Capabilities()

    def __init__(self, *events: ModelEvent) -> None:
        self.events = events

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        for event in self.events:
            yield event

    def count_tokens(self, text: str) -> int:
        return len(text)

    async def close(self) -> None: ...


LEFT = (
    ReasoningPart(text="A thinks whole", signature="sigA"),
    ReasoningPart(text="A thinks half"),
    TextPart(text="It was built ", logprobs=(-0.1,)),
    CitedPart(number=1, start=0, end=5),
    ToolCallPart(call=ToolCall(id="a", name="find", arguments="{}")),
)
WENT_ON = (
    ReasoningPart(text="B thinks", signature="sigB"),
    TextPart(text="in 1873.", logprobs=(-0.2, -0.3)),
    Finish(reason="stop"),
)


@pytest.mark.parametrize("kept", [0, 13])
async def test_what_two_models_thought_is_not_put_together(kept: int) -> None:
    """A signature holds for the thought of the model that made it, and log probabilities for its text."""
    done = await complete(
        Scripted(*LEFT, Switched(before="a", after="b", reason="broke off", kept=kept), *WENT_ON), ASKED
    )
    assert done.text == "It was built "[:kept] + "in 1873."
    assert done.thoughts == (Thought(text="B thinks", signature="sigB"),)
    assert done.tool_calls == ()
    assert done.logprobs == (-0.2, -0.3)
    assert len(done.citations) == (1 if kept else 0)


async def test_a_reply_without_an_end_is_broken_off() -> None:
    with pytest.raises(Interrupted) as caught:
        await complete(Scripted(TextPart(text="Half")), ASKED)
    assert caught.value.text == "Half"


ASKED = ModelRequest()
