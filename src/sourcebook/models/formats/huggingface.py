"""text-generation-inference's own routes: a prompt in, tokens out.

Formats: huggingface.co/docs/text-generation-inference and the JSON Schemas of the task "text-generation". The server
writes the messages into the model's own template first (POST /chat_tokenize), which also counts the prompt exactly;
then it generates. The router and the server's chat route speak OpenAI's format: `openai_chat.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sourcebook.errors import InvalidRequest, ModelError
from sourcebook.models.base import (
    Capabilities,
    Finish,
    Message,
    ModelEvent,
    ModelRequest,
    TextPart,
)
from sourcebook.models.formats.replies import shared_stops, stopped
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.formats.turns import begun
from sourcebook.models.formats.wishes import chosen, ensure_able, unable
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.meaning import failure, finish_reason, request_id_of
from sourcebook.models.wire import Frame, Framing, HttpCall, OneCall, Target, from_json, json_headers, said, to_json
from sourcebook.types import Usage

_BEGINNINGS: Final = ("<s>", "<|begin_of_text|>", "<bos>", "<｜begin▁of▁sentence｜>")
"""What templates begin with and the server puts before every prompt itself."""
_STOPS: Final = 4  # sequences that the server takes


class TextGeneration:
    """The wire format, for one target. Of the URL's options it heeds `template`: "server" or "plain"."""

    capabilities = Capabilities(schema=True, logprobs=True, continues=True, seed=True)

    def __init__(self, target: Target) -> None:
        self._target = target
        self._plain = chosen(target.options, "template", ("server", "plain")) == "plain"
        self._headers = json_headers(target)

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/chat_tokenize; without a template, POST {base}/generate_stream or /generate."""
        if request.tools or any(one.images for one in request.messages):
            raise unable(self._target.provider, "take tools or images", "Use tgi-chat: in place of tgi:")
        ensure_able(request, self.capabilities, self._target.provider)
        if self._plain:
            return self.generating(request, "\n\n".join(one.text for one in request.messages if one.text))
        messages = [{"role": one.role, "content": one.text} for one in _asked(request.messages)]
        return self._post("/chat_tokenize", {"model": self._target.model, "messages": messages})

    def generating(self, request: ModelRequest, prompt: str) -> HttpCall:
        """The call that generates, once the prompt is known."""
        parameters: dict[str, object] = {
            "max_new_tokens": request.max_output_tokens,
            "return_full_text": False,
            "details": True,
        }
        if request.temperature:  # 0 is what the server calls no sampling
            parameters |= {"do_sample": True, "temperature": request.temperature}
        if request.top_p is not None and request.top_p < 1:
            parameters["top_p"] = request.top_p
        if request.seed is not None:
            parameters["seed"] = request.seed
        if stops := _stops(request)[0]:
            parameters["stop"] = stops
        if request.schema is not None:
            parameters["grammar"] = {"type": "json", "value": request.schema}
        if not request.streamed and self._plain:
            parameters["decoder_input_details"] = True  # for the number of the prompt's tokens
        path = "/generate_stream" if request.streamed else "/generate"
        return self._post(path, {"inputs": prompt, "parameters": parameters})

    def _post(self, path: str, body: object) -> HttpCall:
        return HttpCall(url=self._target.base + path, headers=self._headers, body=to_json(body))

    def reader(self, request: ModelRequest) -> TextGenerationReader:
        """For the reply, streamed or not."""
        return TextGenerationReader(self, self._target, request)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From {"error", "error_type"}."""
        if status == 404 and not self._plain:
            return InvalidRequest(
                f"{self._target.provider} has no route of text-generation-inference there",
                remedy="Check the base of its URL; for a server older than 2.1 add ?template=plain, or use tgi-chat:",
                status=status,
                provider=self._target.provider,
                request_id=request_id_of(headers),
            )
        return _error(self._target.provider, status, headers, said(body, self._target.provider))


class TextGenerationReader(OneCall):
    """One reply: the prompt in the model's template, then tokens until the one with the details."""

    def __init__(self, wire: TextGeneration, target: Target, request: ModelRequest) -> None:
        self._wire = wire
        self._provider = target.provider
        self._model = target.model
        self._request = request
        self._stops = StopSequences(request.stop)  # the server leaves those that it met at the end of the text
        self._next: HttpCall | None = None
        self._prompt_tokens = 0

    def framing(self, content_type: str) -> Framing:
        """Server-sent events, or one body."""
        return Whole() if content_type.endswith("json") else ServerSentEvents()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text; Finish with the details."""
        data = frame.data
        if frame.event == "reply" and data.lstrip().startswith("["):  # Inference Endpoints send a list of one
            data = json.dumps((json.loads(data) or [{}])[0])
        told = from_json(data, self._provider)
        if told.get("error"):
            raise _error(self._provider, 0, {}, told)
        if "templated_text" in told:
            self._templated(told)
            return ()
        events = self._generated(told) if frame.event == "reply" else self._token(told)
        return stopped(events, self._stops, self)

    def _templated(self, templated: dict[str, Any]) -> None:
        prompt = str(templated["templated_text"])
        for beginning in _BEGINNINGS:
            prompt = prompt.removeprefix(beginning)
        beginning = begun(self._request.messages) or ""
        self._prompt_tokens = 0 if beginning else len(templated.get("tokenize_response") or ())
        self._next = self._wire.generating(self._request, prompt + beginning)

    def _token(self, event: dict[str, Any]) -> Iterator[ModelEvent]:
        token = event.get("token") or {}
        if not token.get("special") and token.get("text"):
            yield TextPart(text=token["text"], logprobs=self._logprobs([token]))
        if details := event.get("details"):
            yield self._finish(details)

    def _generated(self, reply: dict[str, Any]) -> Iterator[ModelEvent]:
        details = reply.get("details") or {}
        tokens = [one for one in details.get("tokens") or () if not one.get("special")]
        parts = [TextPart(text=one["text"], logprobs=self._logprobs([one])) for one in tokens]
        text = str(reply.get("generated_text") or "")
        if "".join(one.text for one in parts) != text:  # a server without details, or one that joins otherwise
            parts = [TextPart(text=text, logprobs=self._logprobs(tokens))] if text else []
        yield from parts
        yield self._finish(details)

    def _logprobs(self, tokens: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
        return tuple(float(one.get("logprob") or 0.0) for one in tokens) if self._request.logprobs else ()

    def _finish(self, details: Mapping[str, Any]) -> Finish:
        reason = finish_reason(details.get("finish_reason") or "stop", self._provider)
        prompt = details.get("input_length") or self._prompt_tokens or len(details.get("prefill") or ())
        usage = Usage()
        if prompt and "generated_tokens" in details:
            usage = Usage(input_tokens=prompt, output_tokens=details["generated_tokens"], counted_by="vendor")
        return Finish(reason=reason, usage=usage, model=self._model)

    def end(self) -> Iterable[ModelEvent]:
        """Nothing: only the details end a reply."""
        return ()

    def next_call(self) -> HttpCall | None:
        """The one that generates, once the prompt is known."""
        call, self._next = self._next, None
        return call


def _stops(request: ModelRequest) -> tuple[list[str], list[str]]:
    """Stop sequences that the server takes, and the others."""
    return shared_stops(request.stop, most=_STOPS, blank=True)


def _asked(messages: Sequence[Message]) -> Sequence[Message]:
    """Without the beginning of the reply, which follows the template as it is."""
    return messages[:-1] if messages and messages[-1].role == "assistant" else messages


def _error(provider: str, status: int, headers: Mapping[str, str], reply: Mapping[str, Any]) -> ModelError:
    """The error; the server's word for a model that failed (424) is one that may pass."""
    code = str(reply.get("error_type") or "")
    message = str(reply.get("error") or reply.get("message") or "").replace("`", "")
    if code in ("generation", "incomplete_generation"):
        error = failure(provider, 500, headers, message=message, code=code)
        error.status = status
        return error
    return failure(provider, status, headers, message=message, code=code)
