"""The prompt of an agent loop as it grows: what was given, then turns of the model and the results that they asked for.

It is kept within a room of tokens. Old results are left out whole, the oldest first; those that the model has not
seen yet are shortened before they come in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sourcebook.models.base import Message, Tool
from sourcebook.prompt.agent_call import ModelCall
from sourcebook.prompt.agent_run import ToolRun
from sourcebook.types import Usage

LEFT_OUT: Final = "[This result is left out to save room; call again if you need it.]"


class AgentPrompt:
    """Messages, and how many tokens they take: by the model's own counter, and by how the vendor counted before."""

    def __init__(self, given: Sequence[Message], tools: Sequence[Tool], count: Callable[[str], int]) -> None:
        self._given = tuple(given)
        self._count = count
        self._fixed = tokens_of_tools(tools, count) + sum(map(self._of_message, given))
        self._exchanges: list[_Exchange] = []
        self._scale = 1.0  # the vendor's tokens for each of ours

    @property
    def messages(self) -> tuple[Message, ...]:
        """All of them; the last result is marked as the end of what will come again: vendors allow few marks."""
        told = [message for exchange in self._exchanges for message in exchange.messages()]
        if told:
            told[-1] = replace(told[-1], keep=True)
        return (*self._given, *told)

    def tokens(self, *more: Message) -> int:
        """Of the prompt as it stands, tools included. more: messages that will come after it."""
        told = sum(exchange.size for exchange in self._exchanges) + sum(map(self._of_message, more))
        return round(self._scale * (self._fixed + told))

    def tokens_of(self, text: str) -> int:
        """Of a text that may become part of it."""
        return round(self._scale * self._count(text))

    def learn(self, usage: Usage) -> None:
        """How the vendor's count of this prompt compares with ours, in which pictures, for one, do not count.

        What was not counted by the vendor teaches nothing, and much more than ours is the count of several attempts.
        """
        if usage.exact and usage.input_tokens:
            self._scale = min(_MOST_SCALE, max(1.0, usage.input_tokens * self._scale / max(1, self.tokens())))

    def room_for(self, call: ModelCall, room: int) -> int:
        """Tokens of the room that are left for the results of a call, if all results before it are left out."""
        left_out = self._of_text(LEFT_OUT)
        told = sum(exchange.turn_size + left_out * len(exchange.runs) for exchange in self._exchanges)
        results = len(call.calls) * self._of_text("")
        return room - round(self._scale * (self._fixed + told + self._of_message(_turn(call)) + results))

    def add(self, call: ModelCall, runs: Sequence[ToolRun]) -> None:
        """The model's turn, with its reasoning and signatures as vendors require it, and the results."""
        turn = _turn(call)
        sizes = [self._of_text(run.shown) for run in runs]
        self._exchanges.append(_Exchange(turn=turn, turn_size=self._of_message(turn), runs=list(runs), sizes=sizes))

    def make_room(self, room: int) -> list[ToolRun]:
        """Leave old results out until the prompt fits the room, if it can; those of the last turn stay. What went."""
        gone: list[ToolRun] = []
        left_out = self._of_text(LEFT_OUT)
        for exchange in self._exchanges[:-1]:
            for place, run in enumerate(exchange.runs):
                if self.tokens() <= room:
                    return gone
                if exchange.sizes[place] > left_out:
                    gone.append(run)
                    exchange.runs[place] = replace(run, shown=LEFT_OUT)
                    exchange.sizes[place] = left_out
        return gone

    def _of_message(self, message: Message) -> int:
        texts = [message.text, *(thought.text for thought in message.thoughts)]
        texts += [call.name + call.arguments for call in message.tool_calls]
        return sum(map(self._of_text, texts))

    def _of_text(self, text: str) -> int:
        return self._count(text) + _AROUND


@dataclass(slots=True, kw_only=True)
class _Exchange:
    """A turn of the model and the results of its calls, with our tokens of each."""

    turn: Message
    turn_size: int
    runs: list[ToolRun]
    sizes: list[int]

    @property
    def size(self) -> int:
        return self.turn_size + sum(self.sizes)

    def messages(self) -> list[Message]:
        results = [
            Message(role="tool", text=run.shown, tool_call_id=run.call.id, failed=run.result.failed)
            for run in self.runs
        ]
        return [self.turn, *results]


def tokens_of_tools(tools: Iterable[Tool], count: Callable[[str], int]) -> int:
    """Tokens that the descriptions of tools take in a prompt."""
    return sum(count(tool.name + tool.description + json.dumps(tool.parameters)) + _AROUND for tool in tools)


def shares(sizes: Sequence[int], room: int) -> list[int]:
    """What each of several things gets of a room that may not hold them all: the small ones all that they want."""
    given = [0] * len(sizes)
    waiting = sorted(range(len(sizes)), key=lambda place: sizes[place])
    for number, place in enumerate(waiting):
        given[place] = min(sizes[place], max(0, room) // (len(waiting) - number))
        room -= given[place]
    return given


def _turn(call: ModelCall) -> Message:
    return Message(role="assistant", text=call.text, tool_calls=call.calls, thoughts=tuple(call.thoughts))


_AROUND: Final = 4  # tokens that a vendor puts around each text, about
_MOST_SCALE: Final = 2.0
