"""A model's events into an answer whose citations hold."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import pytest

from sourcebook.models.base import CitedPart, Finish, ModelEvent, ModelRequest, TextPart
from sourcebook.prompt.cite import AnswerPart, cite
from sourcebook.types import Answer, Citation, Hit, Passage, PassageId, Usage

TEXT = "The lighthouse was built in 1873. It is 41 metres tall."
PASSAGE = Passage(
    id=PassageId("a" * 32), document="file:///a", version=3, ordinal=2, text=TEXT, start=100, end=100 + len(TEXT),
    page=7, location="row 3", title="Light",
)  # fmt: skip
REQUEST = ModelRequest(question="When?", evidence=(Hit(passage=PASSAGE, score=1.0),))

FIRST = (TextPart(text="The lighthouse was built in 1873. "), CitedPart(number=1, start=0, end=33))
SECOND = (TextPart(text="It is 41 metres tall."), CitedPart(number=1, start=34, end=55))
DONE = Finish(reason="stop", usage=Usage(input_tokens=9))


async def cited(
    events: Sequence[ModelEvent], verify: Callable[[Citation], bool] = lambda citation: True
) -> list[AnswerPart]:
    async def coming() -> AsyncIterator[ModelEvent]:
        for event in events:
            yield event

    async def verified(citation: Citation) -> bool:
        return verify(citation)

    return [part async for part in cite(coming(), REQUEST, model="m-1", verify=verified)]


async def test_text_comes_with_its_citations_and_the_answer_last() -> None:
    parts = await cited([*FIRST, *SECOND, DONE])
    assert [type(part) for part in parts] == [str, Citation, str, Citation, Answer]
    citation, answer = parts[1], parts[-1]
    assert citation == Citation(
        document="file:///a", version=3, passage=PASSAGE.id, start=100, end=133,
        quote="The lighthouse was built in 1873.", page=7, location="row 3", title="Light",
    )  # fmt: skip
    assert isinstance(answer, Answer)
    assert (answer.text, answer.known, answer.model, answer.question) == (TEXT, True, "m-1", "When?")
    assert answer.citations == (parts[1], parts[3])
    assert answer.usage == Usage(input_tokens=9)
    assert answer.hits == REQUEST.evidence


async def test_every_answer_has_a_name_of_its_own() -> None:
    ids = {part.id for _ in range(5) for part in await cited([*FIRST, DONE]) if isinstance(part, Answer)}
    assert len(ids) == 5


async def test_a_sentence_whose_source_is_gone_is_left_out() -> None:
    *parts, answer = await cited([*FIRST, *SECOND, DONE], lambda citation: "41" in citation.quote)
    assert parts == ["It is 41 metres tall.", answer.citations[0]]  # type: ignore[union-attr]
    assert isinstance(answer, Answer)
    assert answer.text == "It is 41 metres tall."
    *parts, answer = await cited([*FIRST, *SECOND, DONE], lambda citation: False)
    assert parts == []
    assert isinstance(answer, Answer)
    assert (answer.known, answer.text, answer.citations) == (False, "", ())


async def test_a_sentence_stays_if_one_of_its_sources_holds() -> None:
    both = (FIRST[0], CitedPart(number=1, start=0, end=5), CitedPart(number=1, start=0, end=33))
    for holds in ("The l", "1873."):
        text, citation, answer = await cited([*both, DONE], partial(_ends, holds))
        assert text == FIRST[0].text
        assert isinstance(answer, Answer)
        assert answer.citations == (citation,)


def _ends(ending: str, citation: Citation) -> bool:
    return citation.quote.endswith(ending)


async def test_text_without_a_citation_is_not_let_through() -> None:
    (answer,) = await cited([TextPart(text="I made this up."), DONE])
    assert isinstance(answer, Answer)
    assert (answer.known, answer.text) == (False, "")
    parts = await cited([*FIRST, TextPart(text="And this."), DONE])
    assert "And this." not in parts
    assert isinstance(parts[-1], Answer)
    assert parts[-1].text == "The lighthouse was built in 1873."


async def test_a_model_that_does_not_know_gives_no_citations() -> None:
    (answer,) = await cited([Finish(reason="unknown")])
    assert isinstance(answer, Answer)
    assert (answer.known, answer.text, answer.citations) == (False, "", ())
    *_, answer = await cited([*FIRST, Finish(reason="unknown")])
    assert isinstance(answer, Answer)
    assert (answer.known, answer.text, answer.citations) == (False, "", ())


@pytest.mark.parametrize("number", [0, -1, 2, 99])
async def test_a_citation_of_nothing_that_was_given_does_not_count(number: int) -> None:
    (answer,) = await cited([TextPart(text="Made up."), CitedPart(number=number, start=0, end=4), DONE])
    assert isinstance(answer, Answer)
    assert not answer.known


async def test_nothing_comes_after_the_finish() -> None:
    parts = await cited([*FIRST, DONE, *SECOND, DONE])
    assert sum(isinstance(part, Answer) for part in parts) == 1
    assert isinstance(parts[-1], Answer)
