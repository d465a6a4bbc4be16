"""Runs the tool calls of an agent's steps: side by side, none twice, and what they find becomes evidence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from time import monotonic

from sourcebook.models.base import ToolCall
from sourcebook.prompt.agent_run import Bounds, ToolRun
from sourcebook.prompt.evidence import Evidence
from sourcebook.prompt.tools.base import Toolboxes, ToolResult, fenced

_CALLS_PER_PLACE = 8  # calls of one step at most, for each that may run at once


class ToolCalls:
    """Keeps what has been called before, with what result. idle: steps in a row that asked for nothing new."""

    def __init__(self, tools: Toolboxes, evidence: Evidence, bounds: Bounds) -> None:
        self._tools = tools
        self._evidence = evidence
        self._bounds = bounds
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
        if task.cancelled():
            return _failure(call, f"{call.name} was stopped: the time is nearly over.")
        result = task.result()
        if result.failed:
            return ToolRun(call=call, result=result, shown=result.text)
        passages, numbers = self._evidence.show(result.hits)
        text = fenced(result.text, label=call.name) if result.text else ""
        return ToolRun(
            call=call, result=result, shown="\n\n".join(part for part in (text, passages) if part), numbers=numbers
        )

    def _told(self, key: str, call: ToolCall) -> ToolRun:
        if key in self._made:
            return _failure(call, "The same call was made before; its result stands above.", repeated=True)
        return _failure(call, "These are too many calls at once; make this one later.")


def _failure(call: ToolCall, text: str, *, repeated: bool = False) -> ToolRun:
    return ToolRun(call=call, result=ToolResult(text=text, failed=True), shown=text, repeated=repeated)


def _key(call: ToolCall) -> str:
    """The same for calls that ask for the same, however the arguments are written."""
    try:
        arguments = json.dumps(json.loads(call.arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        arguments = call.arguments
    return f"{call.name} {arguments}"
