"""Runs the tool calls of an agent's steps: side by side, none twice, and what they find becomes evidence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from time import monotonic

from sourcebook.models.base import ToolCall
from sourcebook.prompt.agent_prompt import LEFT_OUT
from sourcebook.prompt.agent_run import Bounds, ToolRun
from sourcebook.prompt.evidence import Evidence
from sourcebook.prompt.fence import fenced_data
from sourcebook.prompt.tools.base import Toolboxes, ToolResult

_CALLS_PER_PLACE = 8  # calls of one step at most, for each that may run at once
_CUT = "[cut: the rest is left out to save room; ask for less, or for a part, to see it]"
_LEAST_LEFT = 16  # tokens of a result that are worth showing
_MARGIN = 64  # characters: the beginning of a text may take more tokens than its share


class ToolCalls:
    """Keeps what has been called before, with what result. idle: steps in a row that asked for nothing new.

    salt: of the fences around results; see `prompt.fence.code_of`.
    """

    def __init__(self, tools: Toolboxes, evidence: Evidence, bounds: Bounds, *, salt: str = "") -> None:
        self._tools = tools
        self._evidence = evidence
        self._bounds = bounds
        self._salt = salt
        self._made: dict[str, list[ToolRun]] = {}
        self.idle = 0

    async def run(self, calls: Sequence[ToolCall], *, until: float) -> tuple[ToolRun, ...]:
        """Run the calls; those that are not done at `until` (`time.monotonic()`) are stopped, and have failed.

        The i'th run is that of the i'th call, and passages are numbered in that order, whichever was done first.
        """
        keys = [_key(call) for call in calls]
        running = self._begin(keys, calls)
        try:
            if running:
                await asyncio.wait(running.values(), timeout=max(0.0, until - monotonic()))
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)
        runs = []
        for key, call in zip(keys, calls, strict=True):
            done = running.pop(key, None)
            run = self._told(key, call) if done is None else self._done(call, done)
            if done is not None:
                self._made.setdefault(key, []).append(run)
            runs.append(run)
        self.idle = self.idle + 1 if all(run.repeated for run in runs) else 0
        return tuple(runs)

    def forget(self, runs: Iterable[ToolRun]) -> None:
        """The prompt no longer shows these results: the calls may be made again, and passages are shown again."""
        for run in runs:
            self._made.pop(_key(run.call), None)
            self._evidence.forget(run.numbers)

    def shortened(self, run: ToolRun, room: int, count: Callable[[str], int]) -> ToolRun:
        """The run, shown in at most so many tokens: with as many whole passages as fit, and the beginning of its text.

        Passages that do not fit keep their numbers; if nothing fits, the call may be made again.
        """
        whole, left = [], room - count(_CUT)
        for number in run.numbers:
            if (size := count(self._evidence.shown([number]))) > left:
                break
            whole.append(number)
            left -= size
        self._evidence.forget(set(run.numbers) - set(whole))
        parts: list[str] = []
        if (text := run.result.text) and left > _LEAST_LEFT:
            size = count(fenced_data(text, label=run.call.name))
            kept = text if size <= left else text[: max(0, len(text) * left // size - _MARGIN)]
            parts.append(fenced_data(kept, label=run.call.name, salt=self._salt))
        parts += [self._evidence.shown(whole)] if whole else []
        if not parts:
            self.forget([run])
            return replace(run, shown=LEFT_OUT)
        return replace(run, shown="\n\n".join([*parts, _CUT]))

    def _begin(self, keys: Sequence[str], calls: Sequence[ToolCall]) -> dict[str, asyncio.Task[ToolResult]]:
        places = asyncio.Semaphore(self._bounds.parallel)

        async def one(call: ToolCall) -> ToolResult:
            async with places:
                return await self._tools.call(call.name, call.arguments)

        begun: dict[str, asyncio.Task[ToolResult]] = {}
        for key, call in zip(keys, calls, strict=True):
            if len(begun) == self._bounds.parallel * _CALLS_PER_PLACE:
                break
            if key not in begun and self._may_run(key):
                begun[key] = asyncio.create_task(one(call))
        return begun

    def _may_run(self, key: str) -> bool:
        made = self._made.get(key, [])
        once_more = 1 if made and made[-1].result.failed else 0
        return len(made) < self._bounds.repeats + once_more

    def _done(self, call: ToolCall, task: asyncio.Task[ToolResult]) -> ToolRun:
        """The result as the model sees it. What failed is fenced too: it may be a server that speaks."""
        if task.cancelled():
            return _failure(call, f"{call.name} was stopped: the time is nearly over.")
        result = task.result()
        passages, numbers = self._evidence.show(() if result.failed else result.hits)
        text = fenced_data(result.text, label=call.name, salt=self._salt) if result.text else ""
        return ToolRun(
            call=call, result=result, shown="\n\n".join(part for part in (text, passages) if part), numbers=numbers
        )

    def _told(self, key: str, call: ToolCall) -> ToolRun:
        if key in self._made:
            return _failure(call, "The same call was made before; its result stands above.", repeated=True)
        return _failure(call, "These are too many calls at once; make this one later.")


def _failure(call: ToolCall, text: str, *, repeated: bool = False) -> ToolRun:
    """What the loop itself says, in place of a result."""
    return ToolRun(call=call, result=ToolResult(text=text, failed=True), shown=text, repeated=repeated)


def _key(call: ToolCall) -> str:
    """The same for calls that ask for the same, however the arguments are written."""
    try:
        arguments = json.dumps(json.loads(call.arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        arguments = call.arguments
    return f"{call.name} {arguments}"
