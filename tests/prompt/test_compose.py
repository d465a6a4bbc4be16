"""Hits into a request: the best that fit, in their order, numbered, fenced."""

from sourcebook.prompt.compose import compose
from sourcebook.types import Hit, Passage, PassageId, Question


def hit(number: int, text: str, **more: object) -> Hit:
    passage = Passage(
        id=PassageId(f"{number:032x}"), document=f"file:///{number}", version=1, ordinal=0, text=text,
        start=0, end=len(text), **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return Hit(passage=passage, score=1.0)


def words(text: str) -> int:
    return len(text.split())


QUESTION = Question(text="When was it built?")


def test_the_request_holds_the_hits_in_their_order() -> None:
    hits = [hit(1, "first text"), hit(2, "second text")]
    request = compose(QUESTION, hits, sentences=2, window=10_000, count=words)
    assert request.evidence == tuple(hits)
    assert (request.question, request.max_sentences) == ("When was it built?", 2)
    system, user = request.messages
    assert (system.role, user.role) == ("system", "user")
    assert user.text.endswith("Question: When was it built?")
    first, second = user.text.index("[1]"), user.text.index("[2]")
    assert first < user.text.index("<passage>\nfirst text\n</passage>") < second < user.text.index("second text")


def test_a_passage_says_where_it_stands() -> None:
    one = hit(1, "text", title="Title", heading_path=("One", "Two"), location="Sheet1!7", page=3)
    request = compose(QUESTION, [one, hit(2, "bare")], sentences=1, window=10_000, count=words)
    lines = request.messages[1].text.splitlines()
    assert lines[0] == "[1] Title > One > Two > Sheet1!7 > page 3"
    assert "[2]" in lines


def test_only_what_fits_the_window_is_taken() -> None:
    hits = [hit(number, "word " * 100) for number in range(10)]
    sizes = []
    for window in (900, 1000, 1200, 5000):
        request = compose(QUESTION, hits, sentences=1, window=window, count=words)
        assert request.evidence == tuple(hits[: len(request.evidence)])
        assert sum(words(message.text) for message in request.messages) + request.max_output_tokens <= window
        sizes.append(len(request.evidence))
    assert sizes[0] < sizes[1] < sizes[2] < sizes[3] == 10


def test_the_best_hit_is_taken_even_where_nothing_fits() -> None:
    hits = [hit(1, "word " * 1000), hit(2, "short")]
    assert compose(QUESTION, hits, sentences=1, window=600, count=words).evidence == (hits[0],)


def test_without_hits_there_is_no_evidence() -> None:
    request = compose(QUESTION, [], sentences=1, window=600, count=words)
    assert request.evidence == ()
    assert request.messages[1].text == "Question: When was it built?"
