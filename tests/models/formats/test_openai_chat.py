"""OpenAI chat completions: the suite, and what is particular to servers of this format."""

from dataclasses import replace

from sourcebook.models.formats.openai_chat import Dialect, OpenAIChat
from sourcebook.models.wire import Target, WireFormat
from sourcebook.testing.doubles import Double
from sourcebook.testing.wire import WireSuite
from tests.models.doubles.openai_chat import OpenAIChatDouble


class TestOpenAIChat(WireSuite):
    def double(self) -> Double:
        return OpenAIChatDouble()

    def wire(self, target: Target) -> WireFormat:
        return OpenAIChat(target)

    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), base=f"{url}/v1")


class TestAServerThatContinues(TestOpenAIChat):
    def wire(self, target: Target) -> WireFormat:
        dialect = Dialect(continues={"continue_final_message": True, "add_generation_prompt": False})
        return OpenAIChat(target, dialect)
