"""What every model must do."""

from __future__ import annotations

import asyncio

from sourcebook.models.base import CitedPart, Finish, Model, ModelEvent, ModelRequest, TextPart
from sourcebook.types import Hit, Passage, PassageId

_PASSAGES = (
    "The lighthouse on Gull Island was built in 1873. It is 41 metres tall and still in service today.",
    "Gull Island lies nine kilometres off the coast. Its only village, Port Anders, has 212 inhabitants.",
    "Bread is baked from flour, water, salt and yeast. The dough should rest for two hours.",
)


class ModelSuite:
    """Subclass it and give `make`."""

    def make(self) -> Model:
        """The model."""
        raise NotImplementedError

    def _events(self, question: str, passages: tuple[str, ...] = _PASSAGES) -> list[ModelEvent]:
        request = ModelRequest(question=question, evidence=tuple(hit(n, text) for n, text in enumerate(passages)))

        async def collect() -> list[ModelEvent]:
            return [event async for event in self.make().stream(request)]

        return asyncio.run(collect())

    def test_a_stream_ends_with_one_finish(self) -> None:
        for question in ("When was the lighthouse on Gull Island built?", "Who won the chess game in Oslo?"):
            events = self._events(question)
            assert isinstance(events[-1], Finish)
            assert sum(isinstance(event, Finish) for event in events) == 1

    def test_it_answers_from_the_evidence(self) -> None:
        events = self._events("When was the lighthouse on Gull Island built?")
        text = "".join(event.text for event in events if isinstance(event, TextPart))
        assert "1873" in text
        assert isinstance(events[-1], Finish)
        assert events[-1].reason == "stop"

    def test_citations_point_into_the_evidence(self) -> None:
        events = self._events("How tall is the lighthouse on Gull Island?")
        cited = [event for event in events if isinstance(event, CitedPart)]
        assert cited
        for event in cited:
            assert 1 <= event.number <= len(_PASSAGES)
            assert 0 <= event.start < event.end <= len(_PASSAGES[event.number - 1])
        assert any("41 metres" in _PASSAGES[one.number - 1][one.start : one.end] for one in cited)

    def test_without_evidence_it_does_not_know(self) -> None:
        events = self._events("When was the lighthouse built?", passages=())
        assert len(events) == 1
        assert isinstance(events[0], Finish)
        assert events[0].reason == "unknown"

    def test_it_names_itself_and_its_window(self) -> None:
        model = self.make()
        assert model.name
        assert model.window > 0
        assert model.count_tokens("one two three") > 0


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
