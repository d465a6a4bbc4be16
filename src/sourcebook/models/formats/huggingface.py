"""text-generation-inference's own routes: a prompt in, tokens out.

Formats: huggingface.co/docs/text-generation-inference and the JSON Schemas of the task "text-generation". The server
writes the messages into the model's own template first (POST /chat_tokenize), which also counts the prompt exactly;
then it generates. The router and the server's chat route speak OpenAI's format: `openai_chat.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sourcebook.errors import ConfigError, InvalidRequest, ModelError
from sourcebook.models.base import (
    Capabilities,
    Finish,
    FinishReason,
    Message,
    ModelEvent,
    ModelRequest,
    TextPart,
)
from sourcebook.models.formats.openai_chat import unable
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.wire import Frame, Framing, HttpCall, Target, failure, from_json, request_id_of, to_json
from sourcebook.types import Usage

_BEGINNINGS: Final = ("<s>", "<|begin_of_text|>", "<bos>", "<｜begin▁of▁sentence｜>")
"""What templates begin with and the server puts before every prompt itself."""
_STOPS: Final = 4  # sequences that the server takes


class TextGeneration:
    """The wire format, for one target. Of the URL's options it heeds `template`: "server" or "plain"."""

    capabilities = Capabilities(schema=True, logprobs=True, continues=True, seed=True)

    def __init__(self, target: Target) -> None:
        self._target = target
        template = target.options.get("template", "server")
        if template not in ("server", "plain"):
            raise ConfigError(f"template={template!r} in the model's URL", remedy='Use "server" or "plain"')
        self._plain = template == "plain"
        key = {"Authorization": f"Bearer {target.key}"} if target.key else {}
        self._headers = {"Content-Type": "application/json", **key, **target.headers}

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/chat_tokenize; without a template, POST {base}/generate_stream or /generate."""
        if request.tools or any(one.images for one in request.messages):
            raise unable(self._target.provider, "take tools or images", "Use tgi-chat: in place of tgi:")
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
        if request.stop:
            parameters["stop"] = list(request.stop[:_STOPS])
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
        try:
            said = from_json(body, self._target.provider)
        except ModelError:
            said = {"error": body.decode("utf-8", "replace")[:500]}
        if status == 404 and not self._plain:
            return InvalidRequest(
                f"{self._target.provider} has no route of text-generation-inference there",
                remedy="Check the base of its URL; for a server older than 2.1 add ?template=plain, or use tgi-chat:",
                status=status,
                provider=self._target.provider,
                request_id=request_id_of(headers),
            )
        return _error(self._target.provider, status, headers, said)


class TextGenerationReader:
    """One reply: the prompt in the model's template, then tokens until the one with the details."""

    def __init__(self, wire: TextGeneration, target: Target, request: ModelRequest) -> None:
        self._wire = wire
        self._provider = target.provider
        self._model = target.model
        self._request = request
        self._stop = StopSequences(request.stop)
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
        said = from_json(data, self._provider)
        if said.get("error"):
            raise _error(self._provider, 0, {}, said)
        if "templated_text" in said:
            self._templated(said)
            return ()
        return self._generated(said) if frame.event == "reply" else self._token(said)

    def _templated(self, said: dict[str, Any]) -> None:
        prompt = str(said["templated_text"])
        for beginning in _BEGINNINGS:
            prompt = prompt.removeprefix(beginning)
        last = self._request.messages[-1]
        begun = last.text if last.role == "assistant" else ""
        self._prompt_tokens = 0 if begun else len(said.get("tokenize_response") or ())
        self._next = self._wire.generating(self._request, prompt + begun)

    def _token(self, said: dict[str, Any]) -> Iterator[ModelEvent]:
        token = said.get("token") or {}
        if not token.get("special") and token.get("text"):
            yield from self._stop.feed(TextPart(text=token["text"], logprobs=self._logprobs([token])))
        if details := said.get("details"):
            yield from self._stop.rest()
            yield self._finish(details)

    def _generated(self, said: dict[str, Any]) -> Iterator[ModelEvent]:
        details = said.get("details") or {}
        tokens = [one for one in details.get("tokens") or () if not one.get("special")]
        parts = [TextPart(text=one["text"], logprobs=self._logprobs([one])) for one in tokens]
        text = str(said.get("generated_text") or "")
        if "".join(one.text for one in parts) != text:  # a server without details, or one that joins otherwise
            parts = [TextPart(text=text, logprobs=self._logprobs(tokens))] if text else []
        for part in parts:
            yield from self._stop.feed(part)
        yield from self._stop.rest()
        yield self._finish(details)

    def _logprobs(self, tokens: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
        return tuple(float(one.get("logprob") or 0.0) for one in tokens) if self._request.logprobs else ()

    def _finish(self, details: Mapping[str, Any]) -> Finish:
        reason: FinishReason = "length" if details.get("finish_reason") == "length" else "stop"
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

    def cancelling_call(self) -> HttpCall | None:
        """None: closing the connection stops the work."""
        return None


def _asked(messages: Sequence[Message]) -> Sequence[Message]:
    """Without the beginning of the reply, which follows the template as it is."""
    return messages[:-1] if messages and messages[-1].role == "assistant" else messages


def _error(provider: str, status: int, headers: Mapping[str, str], said: Mapping[str, Any]) -> ModelError:
    """The error; the server's word for a model that failed (424) is one that may pass."""
    code = str(said.get("error_type") or "")
    message = str(said.get("error") or said.get("message") or "").replace("`", "")
    if code in ("generation", "incomplete_generation"):
        error = failure(provider, 500, headers, message=message, code=code)
        error.status = status
        return error
    return failure(provider, status, headers, message=message, code=code)
