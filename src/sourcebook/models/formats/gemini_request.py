"""What is asked of Gemini, and what its series of models accept of that."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sourcebook.models.base import Image, Message, ModelRequest
from sourcebook.models.formats.replies import ReplyTool, shared_stops
from sourcebook.models.formats.turns import Turn, arguments_of, thinking_budget, turns
from sourcebook.models.formats.wishes import chosen, told

MOST_STOPS = 5
SIGNED = "gemini:"  # begins the signatures of Gemini's thoughts; those of other models are not sent to it
OWN_ID = "own_"  # begins the ids of calls that the vendor gave none
_UNSIGNED = "skip_thought_signature_validator"  # for calls that another model made (ai.google.dev, thought signatures)
_LEAST_OF_PRO = 128  # tokens that 2.5 Pro always thinks with


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """What a series accepts. thinking: how it is asked to think: not at all, with a budget, or by levels.

    always: whether thinking cannot be switched off. signs: whether its calls must come back signed.
    schema_with_tools: whether a schema may go together with tools. continues: whether a begun reply is gone on with.
    """

    thinking: Literal["none", "budget", "level"] = "level"
    always: bool = False
    signs: bool = True
    schema_with_tools: bool = True
    continues: bool = False


def series_of(model: str, options: Mapping[str, str] | None = None) -> Series:
    """By the model's name; a Gemini without a number counts as new.

    options: "thinking" (none, budget, level) and "continues" (true, false) overrule. Errors: ConfigError.
    """
    wanted = options or {}
    numbered = re.search(r"gemini-(?:[a-z]+-)*?(\d+)(?:\.(\d+))?", model.lower())
    version = (int(numbered[1]), int(numbered[2] or 0)) if numbered else (99, 0)
    always = "pro" in model.lower()
    if "gemini" not in model.lower() or version < (2, 5):
        series = Series(thinking="none", signs=False, schema_with_tools=False)
    elif version < (3, 0):
        series = Series(thinking="budget", always=always, signs=False, schema_with_tools=False)
    else:
        series = Series(always=always)
    if thinking := chosen(wanted, "thinking", ("none", "budget", "level")):
        series = replace(series, thinking=thinking)  # type: ignore[arg-type]
    return replace(series, continues=told(wanted, "continues", otherwise=False))


def reply_tool_of(request: ModelRequest, series: Series) -> ReplyTool | None:
    """What stands in for a schema where it cannot go together with tools."""
    if request.schema is None or not request.tools or series.schema_with_tools:
        return None
    return ReplyTool.of(request)


def gemini_body(request: ModelRequest, series: Series) -> dict[str, object]:
    """The body of generateContent and streamGenerateContent."""
    reply_tool = reply_tool_of(request, series)
    body: dict[str, object] = {"contents": _contents(request.messages, series)}
    if system := [{"text": one.text} for one in request.messages if one.role == "system" and one.text]:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body |= _tools(request, reply_tool)
    body["generationConfig"] = _config(request, series, reply_tool)
    return body


def _config(request: ModelRequest, series: Series, reply_tool: ReplyTool | None) -> dict[str, object]:
    samples = {"temperature": request.temperature, "topP": request.top_p, "seed": request.seed}
    config: dict[str, object] = {name: value for name, value in samples.items() if value is not None}
    config["maxOutputTokens"] = request.max_output_tokens
    if stops := shared_stops(request.stop, most=MOST_STOPS)[0]:
        config["stopSequences"] = stops
    if request.schema is not None and reply_tool is None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = request.schema
    if request.logprobs:
        config["responseLogprobs"] = True
    if request.reasoning is not None and series.thinking != "none":
        config["thinkingConfig"] = _thinking(request, series)
    return config


def _thinking(request: ModelRequest, series: Series) -> dict[str, object]:
    """What cannot be switched off is made least."""
    none = request.reasoning == "none"
    if series.thinking == "level":
        level = ("LOW" if series.always else "MINIMAL") if none else (request.reasoning or "").upper()
        return {"thinkingLevel": level, "includeThoughts": not none}
    least = _LEAST_OF_PRO if series.always else 0
    return {"thinkingBudget": max(thinking_budget(request), least), "includeThoughts": not none}


# --- the conversation ---------------------------------------------------------------------------------------


def _contents(messages: Sequence[Message], series: Series) -> list[dict[str, object]]:
    names: dict[str, str] = {}
    written: list[dict[str, object]] = []
    for turn in turns(messages):
        names |= {call.id: call.name for one in turn.messages for call in one.tool_calls}
        if parts := _parts(turn, names, series):
            written.append({"role": "model" if turn.role == "assistant" else "user", "parts": parts})
    return written


def _parts(turn: Turn, names: Mapping[str, str], series: Series) -> list[dict[str, object]]:
    parts: list[dict[str, object]] = []
    for message in turn.messages:
        if message.role == "tool":
            parts.append({"functionResponse": _response(message, names)})
        elif message.text:
            parts.append({"text": message.text})
        if message.role == "assistant":
            _sign(parts, message)
            parts += _calls(message, series)
    # Pictures come after all of a turn's results, which the vendor counts.
    return parts + [_image(image) for message in turn.messages for image in message.images]


def _sign(parts: list[dict[str, object]], message: Message) -> None:
    """A signature that did not come with a call belongs to the turn's text; what was thought is not sent back."""
    signatures = [one.signature for one in message.thoughts if one.signature.startswith(SIGNED)]
    if signatures and message.text:
        parts[-1]["thoughtSignature"] = signatures[-1].removeprefix(SIGNED)


def _calls(message: Message, series: Series) -> list[dict[str, object]]:
    parts: list[dict[str, object]] = []
    for place, call in enumerate(message.tool_calls):
        written: dict[str, object] = {"name": call.name, "args": arguments_of(call)}
        if not call.id.startswith(OWN_ID):
            written = {"id": call.id, **written}
        part: dict[str, object] = {"functionCall": written}
        if call.signature.startswith(SIGNED):
            part["thoughtSignature"] = call.signature.removeprefix(SIGNED)
        elif series.signs and place == 0:  # of calls at once only the first is signed
            part["thoughtSignature"] = _UNSIGNED
        parts.append(part)
    return parts


def _response(message: Message, names: Mapping[str, str]) -> dict[str, object]:
    call_id = message.tool_call_id or ""
    response: dict[str, object] = {
        "name": names.get(call_id, call_id),
        "response": {"error" if message.failed else "output": message.text},
    }
    return response if call_id.startswith(OWN_ID) else {"id": call_id, **response}


def _image(image: Image) -> dict[str, object]:
    if image.url is not None:
        return {"fileData": {"mimeType": image.media_type, "fileUri": image.url}}
    return {"inlineData": {"mimeType": image.media_type, "data": base64.b64encode(image.data or b"").decode()}}


def _tools(request: ModelRequest, reply_tool: ReplyTool | None) -> dict[str, object]:
    declared = [
        {"name": one.name, "description": one.description, "parametersJsonSchema": one.parameters}
        for one in request.tools
    ]
    choice = request.tool_choice
    config: dict[str, object] = {"mode": {"auto": "AUTO", "none": "NONE"}.get(choice, "ANY")}
    if choice not in ("auto", "none", "required"):
        config["allowedFunctionNames"] = [choice]
    if reply_tool is not None:
        declared.append(
            {
                "name": reply_tool.name,
                "description": reply_tool.description,
                "parametersJsonSchema": reply_tool.schema,
            }
        )
        if choice in ("auto", "none"):
            config = {"mode": "ANY"} | ({"allowedFunctionNames": [reply_tool.name]} if choice == "none" else {})
    return {"tools": [{"functionDeclarations": declared}], "toolConfig": {"functionCallingConfig": config}}
