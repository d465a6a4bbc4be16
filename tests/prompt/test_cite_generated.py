"""The text of models that generate: markers into verified citations, and what nothing supports."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest

from sourcebook.errors import Interrupted, Unavailable
from sourcebook.models.base import (
    CitedPart,
    Finish,
    FinishReason,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    Switched,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from sourcebook.prompt.cite import AnswerPart, Reading, cite
from sourcebook.prompt.support import SupportJudge
from sourcebook.types import Answer, Citation, Hit, LeftOut, Passage, PassageId, Unsupported, Usage

LIGHTHOUSE = "The lighthouse on Gull Island was built in 1873. It is 41 metres tall and still in service today."
ISLAND = "Gull Island lies nine kilometres off the coast. Its only village, Port Anders, has 212 inhabitants."


def hit(number: int, text: str, title: str) -> Hit:
    passage = Passage(
        id=PassageId(f"{number:032x}"), document=f"file:///{number}.md", version=1, ordinal=0, text=text, start=50,
        end=50 + len(text), title=title, language="en",
    )  # fmt: skip
    return Hit(passage=passage, score=1.0)


REQUEST = ModelRequest(
    question="When was the lighthouse built?", evidence=(hit(1, LIGHTHOUSE, "Light"), hit(2, ISLAND, "Isle"))
)
JUDGE = SupportJudge()


async def parts_of(
    reply: str | Sequence[ModelEvent],
    *,
    holds: Callable[[Citation], bool] = lambda citation: True,
    reason: FinishReason = "stop",
    size: int = 3,
    reading: Reading | None = None,
) -> list[AnswerPart]:
    async def coming() -> AsyncGenerator[ModelEvent, None]:
        if not isinstance(reply, str):
            for event in reply:
                yield event
            return
        for start in range(0, len(reply), size):
            yield TextPart(text=reply[start : start + size])
        yield Finish(reason=reason, usage=Usage(output_tokens=7))

    async def verify(citation: Citation) -> bool:
        return holds(citation)

    parts = cite(coming(), REQUEST, model="m-1", verify=verify, reading=reading or Reading(judge=JUDGE))
    return [part async for part in parts]


def answer_in(parts: Sequence[AnswerPart]) -> Answer:
    assert sum(isinstance(part, Answer) for part in parts) == 1
    assert isinstance(parts[-1], Answer)
    return parts[-1]


async def test_each_sentence_comes_with_the_sentences_that_it_rests_on() -> None:
    *parts, answer = await parts_of("The lighthouse was built in 1873 [1]. The village has 212 inhabitants [2].")
    assert [part.quote if isinstance(part, Citation) else part for part in parts] == [
        "The lighthouse was built in 1873.",
        "The lighthouse on Gull Island was built in 1873.",
        " The village has 212 inhabitants.",
        "Its only village, Port Anders, has 212 inhabitants.",
    ]
    assert isinstance(answer, Answer)
    assert answer.text == "The lighthouse was built in 1873. The village has 212 inhabitants."
    assert (answer.known, answer.unsupported, answer.finish, answer.model) == (True, (), "stop", "m-1")
    assert answer.citations == (parts[1], parts[3])
    assert (answer.citations[0].start, answer.citations[0].end) == (50, 98)
    assert answer.usage == Usage(output_tokens=7)
    assert answer.hits == REQUEST.evidence


async def test_markers_within_a_sentence_are_for_what_stands_before_them() -> None:
    parts = await parts_of("The lighthouse is 41 metres tall [1] and the village has 212 inhabitants [2].")
    assert [part.quote for part in parts if isinstance(part, Citation)] == [
        "It is 41 metres tall and still in service today.", "Its only village, Port Anders, has 212 inhabitants.",
    ]  # fmt: skip
    assert answer_in(parts).unsupported == ()


async def test_how_the_text_was_cut_does_not_matter() -> None:
    reply = "Built in 1873 [1]. It was painted in 1999 [1]. The village has 212 inhabitants [2]. I like it."
    whole = [part for part in await parts_of(reply, size=1000) if not isinstance(part, Answer)]
    for size in (1, 2, 5, 17):
        assert [part for part in await parts_of(reply, size=size) if not isinstance(part, Answer)] == whole


async def test_what_the_source_does_not_say_is_marked_where_it_stands() -> None:
    parts = await parts_of("Built in 1874 [1]. It is 41 metres tall [1].")
    kinds = [type(part) for part in parts]
    assert kinds == [str, Citation, Unsupported, str, Citation, Answer]
    answer = answer_in(parts)
    assert answer.unsupported == (Unsupported(text="Built in 1874.", reason="the sources do not say 1874"),)
    assert answer.known


async def test_unsupported_sentences_may_be_left_out() -> None:
    reply = "Built in 1874 [1]. It is 41 metres tall [1]."
    parts = await parts_of(reply, reading=Reading(judge=JUDGE, leave_out=True))
    assert [type(part) for part in parts] == [str, Citation, Answer]
    answer = answer_in(parts)
    assert answer.text == "It is 41 metres tall."
    assert [one.text for one in answer.unsupported] == ["Built in 1874."]


async def test_a_passage_that_does_not_exist_is_not_cited() -> None:
    parts = await parts_of("It is 41 metres tall [7]. The keeper owns seven dogs [9].")
    answer = answer_in(parts)
    assert [one.reason for one in answer.unsupported] == ["it cites a passage that does not exist"]
    assert [one.quote for one in answer.citations] == ["It is 41 metres tall and still in service today."]  # attributed


async def test_a_sentence_without_a_marker_gets_its_source_if_there_is_one() -> None:
    reply = "The lighthouse was built in 1873. The keeper owns seven dogs."
    answer = answer_in(await parts_of(reply))
    assert [one.quote for one in answer.citations] == ["The lighthouse on Gull Island was built in 1873."]
    assert [(one.text, one.reason) for one in answer.unsupported] == [
        ("The keeper owns seven dogs.", "it names no source")
    ]
    strict = answer_in(await parts_of(reply, reading=Reading(judge=JUDGE, attribute=False)))
    assert (strict.known, strict.citations, len(strict.unsupported)) == (False, (), 2)


@pytest.mark.parametrize(
    "reply",
    [
        "I do not know. [0]", "I don't know.", "The passages do not say who painted it.", "Ich weiß es nicht.",
        "Je ne sais pas.", "알 수 없습니다.", "我不知道。", "Cela n'est pas dit [0].", "",
    ],
)  # fmt: skip
async def test_a_model_that_does_not_know_says_so_in_its_words(reply: str) -> None:
    answer = answer_in(await parts_of(reply))
    assert (answer.known, answer.citations, answer.unsupported) == (False, (), ())
    assert answer.text == reply.replace(" [0]", "")


async def test_what_is_known_may_stand_beside_what_is_not() -> None:
    answer = answer_in(await parts_of("Built in 1873 [1]. The passages do not say by whom [0]."))
    assert (answer.known, len(answer.citations), answer.unsupported) == (True, 1, ())


@pytest.mark.parametrize(
    "reply",
    [
        "The passages do not mention the price [1].",
        "When was the lighthouse built? [1]",
        "## Facts [1]",
        "## Built in 1873 [1]\n\nThe moon is made of cheese.",
        "I do not know [1][2].",
    ],
)
async def test_a_marker_does_not_make_it_known(reply: str) -> None:
    answer = answer_in(await parts_of(reply))
    assert (answer.known, answer.citations) == (False, ())


async def test_what_is_not_known_has_no_source() -> None:
    parts = await parts_of("Built in 1873 [1]. The passages do not say by whom [1][2].")
    assert [type(part) for part in parts] == [str, Citation, str, Answer]
    assert answer_in(parts).known


@pytest.mark.parametrize(
    "reply",
    [
        "If you have a boat, you must pay 300 EUR [1].",
        "Sure, it weighs 500 tonnes [1].",
        "The passages do not mention the keeper, who owns 7 dogs [1].",
        "I do not know who painted it, but the keeper owns many dogs.",
        "#1 of all lighthouses with 500 steps [1].",
    ],
)
async def test_what_is_made_up_is_marked_however_it_begins(reply: str) -> None:
    answer = answer_in(await parts_of(reply))
    assert (answer.known, len(answer.unsupported)) == (False, 1)


async def test_a_word_may_be_the_answer() -> None:
    yes, thornton = answer_in(await parts_of("Yes [1].")), answer_in(await parts_of("Thornton [1]."))
    assert (yes.known, yes.unsupported) == (True, ())
    assert (thornton.known, len(thornton.unsupported)) == (False, 1)


async def test_nothing_supported_is_nothing_known() -> None:
    answer = answer_in(await parts_of("Built in 1999 [1]. The keeper owns seven dogs [2]."))
    assert (answer.known, answer.citations, len(answer.unsupported)) == (False, (), 2)
    assert answer.text.startswith("Built in 1999.")


async def test_a_sentence_whose_source_is_gone_goes_with_it() -> None:
    reply = "Built in 1873 [1]. The village has 212 inhabitants [2]. Both lie in the sea [1][2]."
    parts = await parts_of(reply, holds=lambda citation: citation.document == "file:///1.md")
    assert " The village has 212 inhabitants." not in parts
    answer = answer_in(parts)
    assert "212" not in answer.text
    assert {one.document for one in answer.citations} == {"file:///1.md"}
    nothing = answer_in(await parts_of(reply, holds=lambda citation: False))
    assert (nothing.text, nothing.known, nothing.citations) == ("", False, ())


async def test_headings_questions_and_code_need_no_source() -> None:
    reply = "## Facts\n\nHere is what they say:\n\n- Built in 1873 [1]\n\n```\nprint(1873)\n```\nAnything else?"
    parts = await parts_of(reply)
    answer = answer_in(parts)
    assert answer.unsupported == ()
    assert answer.text == reply.replace(" [1]", "")


@pytest.mark.parametrize("reason", ["stop", "length", "filtered", "tool_calls", "unknown"])
async def test_why_a_reply_ended_is_in_the_answer(reason: FinishReason) -> None:
    answer = answer_in(await parts_of("Built in 1873 [1].", reason=reason))
    assert answer.finish == reason
    assert answer.known == (reason != "unknown")


async def test_reasoning_and_tool_calls_pass_and_are_no_part_of_the_text() -> None:
    call = ToolCallPart(call=ToolCall(id="1", name="search", arguments="{}"))
    thought = ReasoningPart(text="It says 1873 [1].", signature="s")
    parts = await parts_of([thought, TextPart(text="Built in 1873 [1]. "), call, Finish(reason="tool_calls")])
    assert parts[0] is thought
    assert call in parts
    assert answer_in(parts).text == "Built in 1873."


async def test_only_what_stands_in_the_tag_is_the_answer() -> None:
    reply = "Passage [1] says 1999. <answer>Built in 1873 [1].</answer> That was it."
    parts = await parts_of(reply, reading=Reading(judge=JUDGE, answer_tag="answer"))
    thought = "".join(part.text for part in parts if isinstance(part, ReasoningPart))
    assert thought == "Passage [1] says 1999.  That was it."
    answer = answer_in(parts)
    assert (answer.text, answer.unsupported, len(answer.citations)) == ("Built in 1873.", (), 1)


async def test_a_thought_in_the_text_is_reasoning_whatever_the_template() -> None:
    parts = await parts_of("<think>Passage [1] says 1999. Or 1873?</think>\n\nBuilt in 1873 [1].")
    assert "".join(part.text for part in parts if isinstance(part, ReasoningPart)) == "Passage [1] says 1999. Or 1873?"
    answer = answer_in(parts)
    assert (answer.text, answer.unsupported, len(answer.citations)) == ("Built in 1873.", (), 1)


async def test_a_model_that_goes_on_for_another_changes_nothing_of_what_was_said() -> None:
    switched = Switched(before="m-1", after="m-2", reason="cut off", kept=22)
    one, other = TextPart(text="Built in 1873 [1]. It "), TextPart(text="is 41 metres tall [1].")
    parts = await parts_of([one, switched, other, Finish(reason="stop")])
    told = next(part for part in parts if isinstance(part, Switched))
    assert told.kept == len("Built in 1873.")
    answer = answer_in(parts)
    assert (answer.text, answer.model, len(answer.citations)) == ("Built in 1873. It is 41 metres tall.", "m-2", 2)


@pytest.mark.parametrize(
    ("kept", "shown", "text"),
    [(0, 0, "The village has 212 inhabitants."), (7, 0, "Built iThe village has 212 inhabitants."),
     (19, 0, "Built in 1873. The village has 212 inhabitants."),
     (25, 14, "Built in 1873. It is The village has 212 inhabitants.")],
)  # fmt: skip
async def test_what_a_switch_does_not_keep_is_withdrawn(kept: int, shown: int, text: str) -> None:
    begun = "Built in 1873 [1]. It is 99 metres tall [1]. More"
    switched = Switched(before="m-1", after="m-2", reason="cut off", kept=kept)
    rest = TextPart(text="The village has 212 inhabitants [2].")
    parts = await parts_of([TextPart(text=begun), switched, rest, Finish(reason="stop")])
    assert next(part.kept for part in parts if isinstance(part, Switched)) == shown
    answer = answer_in(parts)
    assert answer.text == text
    after = parts[next(n for n, part in enumerate(parts) if isinstance(part, Switched)) :]
    streamed = "Built in 1873."[:shown] + "".join(part for part in after if isinstance(part, str))
    assert streamed.strip() == answer.text


async def test_a_model_that_cites_with_places_is_taken_at_its_word() -> None:
    cited = CitedPart(number=1, start=0, end=48)
    parts = await parts_of([TextPart(text="It was built in 1873. "), cited, Finish(reason="stop")])
    assert [part.quote for part in parts if isinstance(part, Citation)] == [LIGHTHOUSE[:48]]


async def test_passages_may_join_while_the_model_writes() -> None:
    hits = [REQUEST.evidence[0]]

    async def coming() -> AsyncGenerator[ModelEvent, None]:
        yield TextPart(text="Built in 1873 [1]. ")
        hits.append(REQUEST.evidence[1])
        yield TextPart(text="The village has 212 inhabitants [2].")
        yield Finish(reason="stop")

    async def verify(citation: Citation) -> bool:
        return True

    parts = cite(coming(), REQUEST, model="m", verify=verify, reading=Reading(judge=JUDGE), evidence=lambda: hits)
    answer = answer_in([part async for part in parts])
    assert [one.document for one in answer.citations] == ["file:///1.md", "file:///2.md"]
    assert answer.hits == REQUEST.evidence


async def test_a_sentence_leaves_when_the_next_one_begins() -> None:
    """Text is not held to the end: the first sentence is out before the model goes on."""
    going = asyncio.Event()

    async def coming() -> AsyncGenerator[ModelEvent, None]:
        yield TextPart(text="Built in 1873 [1]. It is ")
        await going.wait()
        yield TextPart(text="41 metres tall [1].")
        yield Finish(reason="stop")

    async def verify(citation: Citation) -> bool:
        return True

    parts = cite(coming(), REQUEST, model="m", verify=verify, reading=Reading(judge=JUDGE))
    assert await asyncio.wait_for(anext(parts), 1) == "Built in 1873."
    assert isinstance(await asyncio.wait_for(anext(parts), 1), Citation)
    going.set()
    assert isinstance([part async for part in parts][-1], Answer)


@pytest.mark.parametrize("reading", [None, Reading(judge=JUDGE)])
async def test_who_stops_listening_stops_the_model(reading: Reading | None) -> None:
    stopped = []

    async def coming() -> AsyncGenerator[ModelEvent, None]:
        try:
            for _ in range(9):
                yield TextPart(text="Built in 1873 [1]. ")
                yield CitedPart(number=1, start=0, end=48)
        finally:
            stopped.append(True)

    async def verify(citation: Citation) -> bool:
        return True

    parts = cite(coming(), REQUEST, model="m", verify=verify, reading=reading)
    await anext(parts)
    await parts.aclose()
    assert stopped == [True]


@pytest.mark.parametrize("reading", [None, Reading(judge=JUDGE)])
async def test_a_reply_without_an_end_is_no_answer(reading: Reading | None) -> None:
    with pytest.raises(Interrupted):
        await parts_of([TextPart(text="Built in 1873 [1]. ")], reading=reading)


async def test_errors_of_the_model_pass() -> None:
    async def coming() -> AsyncGenerator[ModelEvent, None]:
        yield TextPart(text="Built in ")
        raise Unavailable("down")

    async def verify(citation: Citation) -> bool:
        return True

    with pytest.raises(Unavailable):
        _ = [p async for p in cite(coming(), REQUEST, model="m", verify=verify, reading=Reading(judge=JUDGE))]


async def test_models_that_cite_themselves_pass_every_event_on() -> None:
    async def coming() -> AsyncGenerator[ModelEvent, None]:
        yield ReasoningPart(text="hm")
        yield TextPart(text="Half a sent")
        yield Switched(before="m-1", after="m-2", reason="cut off", kept=0)
        yield TextPart(text="Built in 1873.")
        yield CitedPart(number=1, start=0, end=48)
        yield Finish(reason="length")

    async def verify(citation: Citation) -> bool:
        return True

    left_out = (LeftOut(kind="passage", what="a", reason="no room for it"),)
    parts = [part async for part in cite(coming(), REQUEST, model="m-1", verify=verify, left_out=left_out)]
    assert [type(part) for part in parts] == [ReasoningPart, Switched, str, Citation, Answer]
    answer = answer_in(parts)
    assert (answer.text, answer.model, answer.finish) == ("Built in 1873.", "m-2", "length")
    assert answer.left_out == left_out
