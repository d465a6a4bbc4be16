"""A model for tests of everything around the model: it quotes the first sentence that shares a word of the question."""

import re
from collections.abc import AsyncGenerator

from sourcebook.models.base import Capabilities, CitedPart, Finish, ModelEvent, ModelRequest, TextPart

_SENTENCE = re.compile(r"[^.!?\s](?:[^.!?\n]|\n(?!\n))*[.!?]?")


class Verbatim:
    """Answers with one sentence of each document that has one, up to the limit of sentences."""

    name = "verbatim-1"
    window = 100_000
    capabilities = Capabilities(cites=True)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        wanted = _words(request.question)
        seen: set[str] = set()
        for number, hit in enumerate(request.evidence, 1):
            for sentence in _SENTENCE.finditer(hit.passage.text):
                if len(seen) == request.max_sentences or hit.passage.document in seen:
                    break
                if wanted & _words(sentence.group()):
                    yield TextPart(text=(" " if seen else "") + sentence.group())
                    seen.add(hit.passage.document)
                    yield CitedPart(number=number, start=sentence.start(), end=sentence.end())
        yield Finish(reason="stop" if seen else "unknown")

    async def close(self) -> None:
        pass

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def open_verbatim(_url: str, **_: object) -> Verbatim:
    return Verbatim()


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.casefold()) if len(word) > 4}
