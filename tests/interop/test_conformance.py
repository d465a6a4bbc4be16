"""The contract of models, over those of the frameworks as ours: behind theirs is one that is told what to write."""

from __future__ import annotations

import pytest

from sourcebook.errors import Interrupted
from sourcebook.models.base import Model, ModelRequest
from sourcebook.testing import ModelSuite
from sourcebook.testing.model import asking
from tests.models.route.scripted import DONE, Script, Scripted


def told(request: ModelRequest) -> Script:
    said = "\n".join(message.text for message in request.messages)
    if "a long story" in said:
        return ["Once ", 60.0, "upon a time.", DONE]
    if "a broken story" in said:
        return ["Once ", "upon", Interrupted("The line went dead", text="Once upon")]
    return ["In ", "1873.", DONE]


class Framed(ModelSuite):
    seconds = 0.1

    @pytest.fixture(autouse=True)
    def nothing_made_yet(self) -> None:
        self.inner: list[Scripted] = []

    def theirs(self) -> Scripted:
        self.inner.append(Scripted("scripted", script=told))
        return self.inner[-1]

    def long(self) -> ModelRequest:
        return asking("Tell me a long story.")

    def broken(self) -> ModelRequest:
        return asking("Tell me a broken story.")

    def running(self) -> int:
        return sum(inner.running for inner in self.inner)


class TestLangChain(Framed):
    def make(self) -> Model:
        pytest.importorskip("langchain_core")
        from sourcebook.interop.langchain import LangChainModel, SourcebookChatModel

        return LangChainModel(SourcebookChatModel(model=self.theirs()))


class TestLlamaIndex(Framed):
    def make(self) -> Model:
        pytest.importorskip("llama_index.core")
        from sourcebook.interop.llamaindex import LlamaIndexModel, SourcebookLLM

        return LlamaIndexModel(SourcebookLLM(model=self.theirs()))
