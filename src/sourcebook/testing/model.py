"""What every model must do: `ModelSuite`; and one that quotes what it is given besides: `QuotingSuite`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from unittest import SkipTest

from sourcebook.errors import DeadlineExceeded, Interrupted, InvalidRequest, ModelError
from sourcebook.models.base import (
    CitedPart,
    Finish,
    Message,
    Model,
    ModelEvent,
    ModelRequest,
    Switched,
    TextPart,
    complete,
)
from sourcebook.types import Hit, Passage, PassageId

_PASSAGES = (
    "The lighthouse on Gull Island was built in 1873. It is 41 metres tall and still in service today.",
    "Gull Island lies nine kilometres off the coast. Its only village, Port Anders, has 212 inhabitants.",
    "Bread is baked from flour, water, salt and yeast. The dough should rest for two hours.",
)
_QUESTION = "When was the lighthouse on Gull Island built?"


class ModelSuite:
    """The contract of models/base.py. Subclass it and give `make`, and of the rest what does not fit.

    Whatever wraps a model is a model, and has to pass as well.
    seconds: that a long reply runs before it is stopped; enough for it to have begun. patience: seconds in which what
    was stopped must have stopped, on a machine however busy.
    """

    seconds = 0.5
    patience = 10.0

    def make(self) -> Model:
        """The model; the suite closes it."""
        raise NotImplementedError

    def asked(self) -> ModelRequest:
        """A request that it answers with some text, and soon."""
        return asking(_QUESTION)

    def long(self) -> ModelRequest | None:
        """A request whose reply takes half a minute or more; None: it has none such."""
        return None

    def broken(self) -> ModelRequest | None:
        """A request whose reply breaks off once some text has come; None: it has none such."""
        return None

    def running(self) -> int | None:
        """Calls at work in what stands behind the model, at the vendor as it were; None: that cannot be seen."""
        return None

    # --- a reply --------------------------------------------------------------------------------------------

    def test_a_reply_is_text_and_one_finish_last(self) -> None:
        async def work(model: Model) -> None:
            for streamed in (True, False):
                heard = await listen(model, replace(self.asked(), streamed=streamed))
                assert heard.error is None
                assert heard.text
                assert isinstance(heard.events[-1], Finish)
                assert sum(isinstance(event, Finish) for event in heard.events) == 1

        self._run(work)

    def test_usage_is_counted(self) -> None:
        async def work(model: Model) -> None:
            usage = (await complete(model, self.asked())).finish.usage
            counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens)
            assert all(count >= 0 for count in counts)
            assert usage.input_tokens > 0
            assert usage.output_tokens > 0
            assert usage.counted_by

        self._run(work)

    def test_calls_at_once_do_not_disturb_each_other(self) -> None:
        async def work(model: Model) -> None:
            replies = await asyncio.gather(*(complete(model, self.asked()) for _ in range(4)))
            assert all(reply.text for reply in replies)
            assert all(reply.finish.reason == replies[0].finish.reason for reply in replies)

        self._run(work)

    def test_a_begun_reply_is_continued_or_refused(self) -> None:
        async def work(model: Model) -> None:
            if model.capabilities.cites:
                raise SkipTest("it reads the question and no messages")
            asked = self.asked()
            begun = replace(asked, messages=(*asked.messages, Message(role="assistant", text="The lighthouse was")))
            heard = await listen(model, begun)
            if model.capabilities.continues:
                assert heard.error is None
                assert not heard.text.startswith("The lighthouse was")
            else:
                assert isinstance(heard.error, InvalidRequest)
                assert not heard.text

        self._run(work)

    # --- a reply that does not come to its end ----------------------------------------------------------------

    def test_the_deadline_ends_it_and_the_error_says_what_had_come(self) -> None:
        long = self._given(self.long())

        async def work(model: Model) -> None:
            began = time.monotonic()
            heard = await listen(model, replace(long, deadline=began + self.seconds))
            assert isinstance(heard.error, DeadlineExceeded)
            assert time.monotonic() - began < self.seconds + self.patience
            assert heard.error.text == heard.text
            await self._at_rest()

        self._run(work)

    def test_closing_it_early_stops_the_work(self) -> None:
        long = self._given(self.long())

        async def work(model: Model) -> None:
            async with aclosing(model.stream(long)) as events:
                with suppress(TimeoutError):  # a model may show nothing of a reply before it has all of it
                    async with asyncio.timeout(self.seconds):
                        async for event in events:
                            if isinstance(event, TextPart):
                                assert self.running() != 0
                                break
            await self._at_rest()
            await self._answers_soon(model)

        self._run(work)

    def test_cancelling_it_stops_the_work(self) -> None:
        long = self._given(self.long())

        async def work(model: Model) -> None:
            task = asyncio.create_task(listen(model, long))
            await asyncio.sleep(self.seconds)
            task.cancel()
            await asyncio.wait([task], timeout=self.patience)
            assert task.cancelled()
            await self._at_rest()
            await self._answers_soon(model)

        self._run(work)

    def test_a_reply_that_breaks_off_ends_with_what_had_come(self) -> None:
        broken = self._given(self.broken())

        async def work(model: Model) -> None:
            heard = await listen(model, broken)
            assert isinstance(heard.error, ModelError)
            assert not any(isinstance(event, Finish) for event in heard.events)
            if isinstance(heard.error, Interrupted):
                assert heard.error.text == heard.text
            await self._at_rest()
            await self._answers_soon(model)

        self._run(work)

    # --- the model itself -------------------------------------------------------------------------------------

    def test_it_names_itself_and_its_window(self) -> None:
        async def work(model: Model) -> None:
            again = self.make()
            try:
                assert model.name == again.name != ""
                assert model.window == again.window > 0
                assert model.capabilities == again.capabilities
            finally:
                await again.close()

        self._run(work)

    def test_tokens_are_counted(self) -> None:
        async def work(model: Model) -> None:
            few, many = model.count_tokens("one two three"), model.count_tokens("one two three " * 20)
            assert 0 < few < many
            assert model.count_tokens("") <= few

        self._run(work)

    def test_it_can_be_closed_twice_and_unused(self) -> None:
        async def work(model: Model) -> None:
            await self.make().close()
            await complete(model, self.asked())
            await model.close()  # `_run` closes it once more

        self._run(work)

    # --- what the tests are made of ---------------------------------------------------------------------------

    def _run(self, work: Callable[[Model], Awaitable[None]]) -> None:
        async def whole() -> None:
            model = self.make()
            try:
                await work(model)
            finally:
                await model.close()

        asyncio.run(whole())

    def _given(self, request: ModelRequest | None) -> ModelRequest:
        if request is None:
            raise SkipTest("the model has no such reply")
        return request

    async def _at_rest(self) -> None:
        until = time.monotonic() + self.patience
        while self.running() not in (None, 0):
            assert time.monotonic() < until, "the work goes on, though nobody listens any more"
            await asyncio.sleep(0.005)

    async def _answers_soon(self, model: Model) -> None:
        async with asyncio.timeout(self.patience):
            assert (await complete(model, self.asked())).text


class QuotingSuite(ModelSuite):
    """For a model that declares `cites`: it reads question and evidence, and says what of the evidence it quotes."""

    def test_it_answers_from_the_evidence(self) -> None:
        async def work(model: Model) -> None:
            reply = await complete(model, self.asked())
            assert "1873" in reply.text
            assert reply.finish.reason == "stop"

        self._run(work)

    def test_citations_point_into_the_evidence(self) -> None:
        async def work(model: Model) -> None:
            assert model.capabilities.cites
            cited = (await complete(model, asking("How tall is the lighthouse on Gull Island?"))).citations
            assert cited
            for one in cited:
                assert 1 <= one.number <= len(_PASSAGES)
                assert 0 <= one.start < one.end <= len(_PASSAGES[one.number - 1])
            assert any("41 metres" in _PASSAGES[one.number - 1][one.start : one.end] for one in cited)

        self._run(work)

    def test_a_citation_follows_what_it_supports(self) -> None:
        async def work(model: Model) -> None:
            heard = await listen(model, self.asked())
            kinds = [type(event) for event in heard.events if isinstance(event, TextPart | CitedPart)]
            assert kinds[0] is TextPart

        self._run(work)

    def test_without_evidence_it_does_not_know(self) -> None:
        async def work(model: Model) -> None:
            elsewhere = asking("Who won the chess game in Oslo?", *_PASSAGES[2:])
            for request in (replace(self.asked(), evidence=()), elsewhere):
                heard = await listen(model, request)
                assert [type(event) for event in heard.events] == [Finish]
                assert isinstance(heard.events[0], Finish)
                assert heard.events[0].reason == "unknown"

        self._run(work)


@dataclass(slots=True)
class Heard:
    """What a reader of a stream has seen. text: that stays part of the reply. error: how it ended, if badly."""

    events: list[ModelEvent] = field(default_factory=list)
    text: str = ""
    error: ModelError | None = None


async def listen(model: Model, request: ModelRequest) -> Heard:
    """All events of a request until it ends, well or with a ModelError; no other error is one of a model's."""
    heard = Heard()
    try:
        async with aclosing(model.stream(request)) as events:
            async for event in events:
                heard.events.append(event)
                if isinstance(event, TextPart):
                    heard.text += event.text
                elif isinstance(event, Switched):
                    heard.text = heard.text[: event.kept]
    except ModelError as error:
        heard.error = error
    return heard


def asking(question: str, *passages: str) -> ModelRequest:
    """A request of both kinds: messages for a model that generates, question and evidence for one that quotes."""
    passages = passages or _PASSAGES
    sources = "\n".join(f"[{number}] {text}" for number, text in enumerate(passages, 1))
    return ModelRequest(
        question=question,
        evidence=tuple(hit(number, text) for number, text in enumerate(passages)),
        messages=(
            Message(role="system", text="You answer questions from the sources that you are given."),
            Message(role="user", text=f"{sources}\n\n{question}"),
        ),
        max_output_tokens=64,
    )


def hit(number: int, text: str) -> Hit:
    """A hit of a text, as retrieval would hand it on."""
    passage = Passage(
        id=PassageId(f"{number:032x}"),
        document=f"file:///document-{number}.txt",
        version=1,
        ordinal=0,
        text=text,
        start=0,
        end=len(text),
        language="en",
    )
    return Hit(passage=passage, score=1.0 - 0.1 * number, channels={"dense": number + 1, "keyword": number + 1})
