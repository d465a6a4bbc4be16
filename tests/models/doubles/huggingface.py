"""A stand-in for text-generation-inference, from the JSON Schemas of the task and from its router's source."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from sourcebook.errors import ContextTooLong, InvalidRequest, ModelError, NotAuthorised, RateLimited, Unavailable
from sourcebook.testing.doubles import REQUEST_ID, Double, Fault, Reply, Seen, sse
from tests.models.doubles.checking import mend

SCHEMAS = Path(__file__).parent / "huggingface_tasks"
TOO_LONG = (
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4100 `inputs` tokens and 64 "
    "`max_new_tokens`"
)
ERRORS: dict[type[ModelError], tuple[int, str, str]] = {
    InvalidRequest: (422, "validation", "Input validation error: `temperature` must be strictly positive"),
    NotAuthorised: (401, "", "Invalid credentials: {key}"),
    ContextTooLong: (422, "validation", TOO_LONG),
    RateLimited: (429, "overloaded", "Model is overloaded"),
    Unavailable: (424, "generation", "Request failed during generation: Server error: CUDA out of memory"),
}


class TextGenerationDouble(Double):
    """POST /chat_tokenize, /generate_stream, /generate and /, which stands for both."""

    begins_with = "<s>"

    def __init__(self) -> None:
        super().__init__()
        self.rendered: list[Seen] = []

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/chat_tokenize", self.render),
            *(web.post(path, self.respond) for path in ("/generate_stream", "/generate", "/")),
        ]

    async def render(self, request: web.Request) -> web.Response:
        """The messages in ChatML, with a beginning as Llama's templates have it."""
        seen = await self.note(request)
        self.rendered.append(self.seen.pop())
        if not self.authorised(seen):
            return self._refused(Fault(error=NotAuthorised), seen)
        turns = [f"<|im_start|>{one['role']}\n{one['content']}<|im_end|>\n" for one in seen.body["messages"]]
        text = self.begins_with + "".join(turns) + "<|im_start|>assistant\n"
        said = next((one for one in self.queue if isinstance(one, Reply)), Reply())
        tokens = [{"id": one, "text": "x", "start": one, "stop": one + 1} for one in range(said.usage.input_tokens)]
        body = {"tokenize_response": tokens, "templated_text": text}
        return web.json_response(body, headers={self.request_id_header: REQUEST_ID})

    def streams(self, seen: Seen) -> bool:
        return seen.path == "/generate_stream" or bool(seen.body.get("stream"))

    def check(self, seen: Seen) -> str:
        return schema_finds("input", seen.body)

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        status, kind, message = ERRORS[fault.error]
        named = {"error_type": kind} if kind else {}  # what stands before the server names no kind
        return status, {}, json.dumps({"error": message.format(key=self.presented(seen)), **named}).encode()

    def fault_event(self, fault: Fault) -> bytes | None:
        _, kind, message = ERRORS[fault.error]
        return sse({"error": message, "error_type": kind})

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        tokens, last = _tokens(reply, seen)
        details = {
            "finish_reason": _finish(reply, last),
            "generated_tokens": reply.usage.output_tokens,
            "prefill": [{"id": 1, "text": "x", "logprob": None}] * reply.usage.input_tokens,
            "seed": None,
            "tokens": [*tokens, last],
        }
        if not (seen.body.get("parameters") or {}).get("decoder_input_details"):
            details["prefill"] = []
        text = "".join(one["text"] for one in (*tokens, last) if not one["special"])
        return json.dumps({"generated_text": text, "details": details}).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        tokens, last = _tokens(reply, seen)
        details = {
            "finish_reason": _finish(reply, last),
            "generated_tokens": reply.usage.output_tokens,
            "input_length": reply.usage.input_tokens,
            "seed": None,
        }
        said: list[dict[str, Any]] = [{"token": one} for one in tokens]
        said.append({"token": last, "generated_text": reply.text, "details": details})
        return [
            sse({"generated_text": None, "details": None, "index": number, **one})
            for number, one in enumerate(said, start=1)
        ]


END = {"id": 2, "text": "</s>", "logprob": -0.01, "special": True}


def _token(number: int, piece: str, reply: Reply) -> dict[str, Any]:
    logprob = reply.logprobs[number] if reply.logprobs else -0.5
    return {"id": 100 + number, "text": piece, "logprob": logprob, "special": False}


def _tokens(reply: Reply, seen: Seen) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The tokens but the last, and the last: the one that ends the text, or that completes a stop sequence."""
    stops = (seen.body.get("parameters") or {}).get("stop") or ()
    tokens: list[dict[str, Any]] = []
    for number, piece in enumerate(reply.pieces):
        token = _token(number, piece, reply)
        if any(one in "".join(reply.pieces[: number + 1]) for one in stops):
            return tokens, token
        tokens.append(token)
    return tokens, END


def _finish(reply: Reply, last: Mapping[str, Any]) -> str:
    if last is not END:
        return "stop_sequence"
    return "length" if reply.finish == "length" else "eos_token"


def schema_finds(name: str, value: object) -> str:
    """What the task's JSON Schema ("input", "output" or "stream_output") finds wrong."""
    from jsonschema import Draft6Validator

    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    errors = [error.message for error in Draft6Validator(mend(schema)).iter_errors(value)]
    if name == "input" and isinstance(value, dict):
        known = schema["$defs"]["TextGenerationInputGenerateParameters"]["properties"]
        errors += [f"unknown: {one}" for one in value.get("parameters") or {} if one not in known]
    return "; ".join(errors)
