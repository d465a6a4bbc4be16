"""What is asked of Bedrock's Converse, and what the families of models behind it accept of that."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from sourcebook.errors import InvalidRequest
from sourcebook.models.base import Image, Message, ModelRequest, Thought
from sourcebook.models.formats.claude import (
    REDACTED,
    SIGNED,
    Generation,
    effort_of,
    generation_of,
    reply_tool_of,
    samples_of,
    signed,
    thinking_of,
)
from sourcebook.models.formats.replies import ReplyTool, shared_stops
from sourcebook.models.formats.schemas import closed_schema
from sourcebook.models.formats.turns import Turn, arguments_of, begun, marked, plain_id, turns
from sourcebook.models.formats.wishes import told
from sourcebook.models.wire import to_json

_MOST_MARKERS = 4
_IDS = "a-zA-Z0-9_.:-"
_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_WITHOUT_SCHEMA = ("amazon.", "meta.", "ai21.", "cohere.", "writer.", "mistral.mistral-7b", "mistral.mixtral")


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """What a model of Bedrock's accepts.

    keeps: whether it takes prompt-caching markers. schema: whether it is held to a JSON schema as such.
    reasoning: how it is asked to think: as Claude, as Nova, as OpenAI's open models, or not at all.
    claude: of Claude, its generation.
    """

    reasoning: Literal["claude", "nova", "effort", "none"] = "none"
    continues: bool = False
    keeps: bool = False
    schema: bool = True
    claude: Generation = field(default_factory=lambda: Generation(thinking="none", samples=2))


def family_of(model: str, options: Mapping[str, str] | None = None) -> Family:
    """By the model's id, or by the option "like", the id of the model behind an ARN that does not tell it.

    options: "continues", "keeps" and "schema" (true, false) overrule, as do those of `claude.generation_of`.
    """
    wanted = options or {}
    name = (wanted.get("like") or model).lower()
    family = Family(schema=not any(one in name for one in _WITHOUT_SCHEMA))
    if "claude" in name:
        claude = generation_of(name, wanted)
        family = Family(keeps=True, continues=claude.continues, schema=claude.schema, claude=claude)
        if claude.thinking != "none":
            family = replace(family, reasoning="claude")
    elif "nova" in name:
        family = Family(reasoning="nova" if "nova-2" in name else "none", keeps=True, schema=False)
    elif "gpt-oss" in name:
        family = Family(reasoning="effort")
    return replace(
        family,
        continues=told(wanted, "continues", otherwise=family.continues),
        keeps=told(wanted, "keeps", otherwise=family.keeps),
        schema=told(wanted, "schema", otherwise=family.schema),
    )


def converse_body(request: ModelRequest, family: Family, provider: str) -> dict[str, object]:
    """The body of Converse and ConverseStream. Errors: InvalidRequest, for a picture that Bedrock does not take."""
    reply_tool = reply_tool_of(request, schema=family.schema)
    forced = reply_tool is not None or request.tool_choice not in ("auto", "none")
    messages = marked(request.messages, _MOST_MARKERS if family.keeps else 0)
    body: dict[str, object] = {
        "messages": _messages(turns(messages), begins=begun(messages) is not None, provider=provider)
    }
    if system := [block for one in messages if one.role == "system" for block in _system(one)]:
        body["system"] = system
    more, thinks = _reasoning(request, family, forced=forced)
    inference: dict[str, object] = {"maxTokens": request.max_output_tokens}
    samples = samples_of(family.claude, request, thinks=thinks)
    inference |= {{"temperature": "temperature", "top_p": "topP"}[name]: value for name, value in samples.items()}
    if stops := shared_stops(request.stop)[0]:
        inference["stopSequences"] = stops
    body["inferenceConfig"] = inference
    if tools := _tool_config(request, reply_tool):
        body["toolConfig"] = tools
    if request.schema is not None and reply_tool is None:
        schema = to_json(closed_schema(request.schema)).decode()
        structure = {"jsonSchema": {"schema": schema, "name": "reply"}}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
    if more:
        body["additionalModelRequestFields"] = more
    return body


def _reasoning(request: ModelRequest, family: Family, *, forced: bool) -> tuple[dict[str, object], bool]:
    """The model's own fields for how much to think, and whether it then thinks."""
    effort = request.reasoning
    if effort is None or family.reasoning == "none":
        return {}, False
    if family.reasoning == "effort":
        return {"reasoning_effort": "low" if effort == "none" else effort}, False
    if family.reasoning == "nova":
        if effort == "none":
            return {"reasoningConfig": {"type": "disabled"}}, False
        # With high effort Nova takes no limit of tokens, and a call without one cannot be reserved for.
        steps = "medium" if effort == "high" else effort
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": steps}}, False
    fields: dict[str, object] = {}
    thinking = thinking_of(family.claude, request, forced=forced)
    if thinking is not None:
        fields["thinking"] = thinking
    if (how_much := effort_of(family.claude, request)) is not None:
        fields["output_config"] = {"effort": how_much}
    return fields, thinking is not None and thinking["type"] != "disabled"


def _messages(some: list[Turn], *, begins: bool, provider: str) -> list[dict[str, object]]:
    written: list[dict[str, object]] = []
    for place, turn in enumerate(some):
        last = begins and turn.role == "assistant" and place == len(some) - 1
        content = [block for one in turn.messages for block in _blocks(one, begins=last, provider=provider)]
        if content:
            written.append({"role": turn.role, "content": content})
    return written


def _blocks(message: Message, *, begins: bool, provider: str) -> list[dict[str, object]]:
    images: list[dict[str, object]] = [{"image": _image(one, provider)} for one in message.images]
    blocks: list[dict[str, object]] = []
    if message.role == "tool":
        blocks.append({"toolResult": _tool_result(message, images)})
    else:
        text = message.text.rstrip() if begins else message.text  # what is to be continued may not end in blanks
        if message.role == "assistant":
            blocks += [_thought(one) for one in message.thoughts if signed(one)]
        blocks += images
        if text.strip():
            blocks.append({"text": text})
        for call in message.tool_calls:
            used = {"toolUseId": plain_id(call.id, _IDS), "name": call.name, "input": arguments_of(call)}
            blocks.append({"toolUse": used})
    return blocks + _marker(message) if blocks else []


def _system(message: Message) -> list[dict[str, object]]:
    return [{"text": message.text}, *_marker(message)] if message.text.strip() else []


def _marker(message: Message) -> list[dict[str, object]]:
    return [{"cachePoint": {"type": "default"}}] if message.keep else []


def _tool_result(message: Message, images: list[dict[str, object]]) -> dict[str, object]:
    content: list[dict[str, object]] = [{"text": message.text}] if message.text.strip() else []
    result: dict[str, object] = {"toolUseId": plain_id(message.tool_call_id or "", _IDS), "content": content + images}
    if message.failed:
        result["status"] = "error"
    return result


def _thought(thought: Thought) -> dict[str, object]:
    if thought.signature.startswith(REDACTED):
        return {"reasoningContent": {"redactedContent": thought.signature.removeprefix(REDACTED)}}
    signature = thought.signature.removeprefix(SIGNED)
    return {"reasoningContent": {"reasoningText": {"text": thought.text, "signature": signature}}}


def _image(image: Image, provider: str) -> dict[str, object]:
    kind = _FORMATS.get(image.media_type)
    fetched = image.url is not None and not image.url.startswith("s3://")
    if kind is None or fetched:
        raise InvalidRequest(
            f"{provider} takes no picture of {image.url if fetched else image.media_type}",
            remedy="Give its bytes, as PNG, JPEG, GIF or WebP, or a URL that begins with s3://",
            provider=provider,
        )
    if image.url is not None:
        return {"format": kind, "source": {"s3Location": {"uri": image.url}}}
    return {"format": kind, "source": {"bytes": base64.b64encode(image.data or b"").decode()}}


def _tool_config(request: ModelRequest, reply_tool: ReplyTool | None) -> dict[str, object]:
    """Tools and the choice of them. There is no choice of none: then the tools are left out.

    Where the conversation has calls in it, which the vendor takes only together with tools, they stay.
    """
    offered = list(request.tools)
    spoken_of = any(one.tool_calls or one.role == "tool" for one in request.messages)
    if request.tool_choice == "none" and not spoken_of:
        offered = []
    specs = [
        {"name": one.name, "description": one.description or one.name, "inputSchema": {"json": one.parameters}}
        for one in offered
    ]
    if reply_tool is not None:
        specs.append(
            {
                "name": reply_tool.name,
                "description": reply_tool.description,
                "inputSchema": {"json": reply_tool.schema},
            }
        )
    if not specs:
        return {}
    config: dict[str, object] = {"tools": [{"toolSpec": one} for one in specs]}
    if reply_tool is not None and (not request.tools or request.tool_choice == "none"):
        config["toolChoice"] = {"tool": {"name": reply_tool.name}}
    elif request.tool_choice == "required" or (reply_tool is not None and request.tool_choice == "auto"):
        config["toolChoice"] = {"any": {}}
    elif request.tool_choice not in ("auto", "none"):
        config["toolChoice"] = {"tool": {"name": request.tool_choice}}
    return config
