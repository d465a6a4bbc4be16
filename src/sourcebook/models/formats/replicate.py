"""Replicate predictions: one call makes a prediction, a second reads its output, a third tells what it took.

Format: replicate.com/docs/reference/http. A prediction goes on when its connection is closed, so it is cancelled by a
call of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit

from sourcebook.errors import ConfigError, InvalidReply, ModelError
from sourcebook.models.base import Capabilities, Finish, FinishReason, Message, ModelEvent, ModelRequest, TextPart
from sourcebook.models.formats.replies import stopped
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.formats.turns import begun, data_url
from sourcebook.models.formats.wishes import GO_ON, chosen, told, unable
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.meaning import failure
from sourcebook.models.wire import Frame, Framing, HttpCall, Target, from_json, json_headers, said, to_json
from sourcebook.types import Usage

_POLLS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each look at a prediction that is not ready; the last for all further ones."""
_METRICS: Final = 3  # looks for the metrics of a prediction whose output is there
_PASSING: Final = ("canceled", "aborted", "memory", "interrupted", "unavailable", "try again", "timeout", "timed out")
"""Words for failures of a prediction that are not its input's fault."""
_FLAGGED: Final = "content_policy"  # what others call it
_HOSTS: Final = ".replicate.com"
_OVER: Final = ("succeeded", "failed", "canceled", "aborted")


class Replicate:
    """The wire format, for one target.

    Of the URL's options it heeds `version`, `deployment`, `template` ("plain", "chatml", "llama3", "mistral"),
    `limit` (the input that bounds the reply), `images` (the input that takes pictures) and `wait` (seconds that the
    first call may wait for a reply that is not streamed).
    """

    def __init__(self, target: Target) -> None:
        options = target.options
        self._target = target
        template = chosen(options, "template", ("plain", *_TEMPLATES))
        wait = options.get("wait", "1")
        if not wait.isdigit() or not 1 <= int(wait) <= 60:
            raise ConfigError(f"wait={wait!r} in the model's URL", remedy="Write seconds from 1 to 60")
        self._wait = wait
        self._template = _TEMPLATES.get(template or "plain")
        self._images = options.get("images", "")
        self.capabilities = Capabilities(images=bool(self._images), seed=True, continues=self._template is not None)
        model, _, version = target.model.partition(":")
        self._version = options.get("version", "") or version
        name = quote(model, safe="/")
        if self._version:
            self._path = "/predictions"
        elif told(options, "deployment", otherwise=False):
            self._path = f"/deployments/{name}/predictions"
        else:
            self._path = f"/models/{name}/predictions"
        self._headers = json_headers(target)

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/models/{owner}/{name}/predictions, /deployments/..., or /predictions with a version."""
        body: dict[str, object] = {"input": self._input(request)}
        if self._version:
            body = {"version": self._version, **body}
        headers = self._headers
        if request.streamed:
            body["stream"] = True
        else:
            headers = {**headers, "Prefer": f"wait={self._wait}"}
        return HttpCall(url=self._target.base + self._path, headers=headers, body=to_json(body))

    def _input(self, request: ModelRequest) -> dict[str, object]:
        if request.tools or request.schema is not None:
            raise unable(self._target.provider, "take tools or a JSON schema", "Ask for it in words, and check it")
        values: dict[str, object] = {}
        if self._template is not None:
            values["prompt"] = self._template.written(request.messages)
            values["prompt_template"] = "{prompt}"  # the model's own is not put around it again
        else:
            if begun(request.messages) is not None:
                raise unable(self._target.provider, "continue a reply that was begun", f"{GO_ON}, or give a template")
            system = "\n\n".join(one.text for one in request.messages if one.role == "system")
            values["prompt"] = _conversation([one for one in request.messages if one.role != "system"])
            if system:
                values["system_prompt"] = system
        if images := [data_url(image) for one in request.messages for image in one.images]:
            if not self._images:
                raise unable(self._target.provider, "take images", "Name the model's input for them: ?images=NAME")
            several = self._images.endswith(("s", "image_input"))
            values[self._images] = images if several else images[-1]
        values[self._target.options.get("limit", "max_tokens")] = request.max_output_tokens
        for name in ("temperature", "top_p", "seed"):
            if (value := getattr(request, name)) is not None:
                values[name] = value
        if stops := [one for one in request.stop if "," not in one]:  # which separates them
            values["stop_sequences"] = ",".join(stops)
        return values

    def is_trusted(self, url: str) -> bool:
        """Whether a URL that a reply names may be called at all: the base's server, or one of the open network."""
        return urlsplit(url).scheme == "https" or self._is_ours(url)

    def headers_for(self, url: str) -> dict[str, str]:
        """The key goes to the vendor's own hosts only, whatever URL a reply names."""
        theirs = urlsplit(url)
        vendors = urlsplit(self._target.base).hostname == f"api{_HOSTS}"
        if self._is_ours(url) or (vendors and theirs.scheme == "https" and (theirs.hostname or "").endswith(_HOSTS)):
            return dict(self._headers)
        return {name: value for name, value in self._headers.items() if name == "Content-Type"}

    def _is_ours(self, url: str) -> bool:
        ours, theirs = urlsplit(self._target.base), urlsplit(url)
        return (theirs.scheme, theirs.netloc) == (ours.scheme, ours.netloc)

    def reader(self, request: ModelRequest) -> ReplicateReader:
        """For the reply, streamed or not."""
        return ReplicateReader(self, self._target, request)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From a problem of RFC 7807: {"title", "detail"}."""
        problem = said(body, self._target.provider, otherwise="detail")
        message = str(problem.get("detail") or problem.get("error") or "")
        code = _FLAGGED if "flagged" in message.lower() else str(problem.get("title") or "")
        return failure(self._target.provider, status, headers, message=message, code=code)


class ReplicateReader:
    """One reply: a prediction; then its stream, or looks at it until it is over; then its metrics."""

    def __init__(self, wire: Replicate, target: Target, request: ModelRequest) -> None:
        self._wire = wire
        self._provider = target.provider
        self._model = target.model
        self._request = request
        self._stops = StopSequences(request.stop)  # many a model passes over those that it is told
        self._urls: Mapping[str, str] = {}
        self._looks = 0
        self.usage = Usage()
        self._streaming = False
        self._status = ""
        self._told = False
        self._done = False
        self._ended = False

    def framing(self, content_type: str) -> Framing:
        """Server-sent events of the output, or a prediction."""
        return ServerSentEvents() if content_type == "text/event-stream" else Whole()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text; Finish with the prediction that is over and tells its metrics."""
        if frame.event == "reply":
            return self._prediction(from_json(frame.data, self._provider))
        return stopped(self._event(frame), self._stops, self)

    def _event(self, frame: Frame) -> Iterator[ModelEvent]:
        self._streaming = True
        if frame.event == "output":
            yield TextPart(text=frame.data)
        elif frame.event == "error":
            problem = from_json(frame.data, self._provider) if frame.data.lstrip().startswith("{") else {}
            raise self._failed(str(problem.get("detail") or frame.data))
        elif frame.event == "done":
            reason = from_json(frame.data, self._provider).get("reason") if frame.data.strip() else None
            self._told = True
            self._done = reason in (None, "")  # else the prediction itself tells what happened
            if self._done:
                yield from self._stops.rest()

    def _prediction(self, prediction: dict[str, Any]) -> Iterator[ModelEvent]:
        urls = prediction.get("urls")
        if isinstance(urls, dict):
            self._urls = {name: url for name, url in urls.items() if url and self._wire.is_trusted(url)}
        self._status = str(prediction.get("status") or "")
        if self._status in ("failed", "canceled", "aborted"):
            self._ended = True
            raise self._failed(str(prediction.get("error") or f"the prediction was {self._status}"))
        if self._status != "succeeded":
            if not self._urls.get("get"):
                raise InvalidReply(f"{self._provider} did not say where its prediction is", provider=self._provider)
            return
        if not self._told:
            self._told = self._done = True
            if text := _text(prediction.get("output"), self._provider):
                yield from self._stops.feed(TextPart(text=text))
            yield from self._stops.rest()
        metrics = prediction.get("metrics") or {}
        if "output_token_count" in metrics or self._looks >= _METRICS or not self._urls.get("get"):
            yield self._finish(metrics)

    def _finish(self, metrics: Mapping[str, Any]) -> Finish:
        """The vendor does not say that a reply met its limit: as many tokens as were allowed say so."""
        self._ended = True
        prompt, written = metrics.get("input_token_count"), metrics.get("output_token_count")
        reason: FinishReason = "stop"
        if written is not None and written >= self._request.max_output_tokens and not self._stops.stopped:
            reason = "length"
        usage = Usage()
        if prompt is not None and written is not None:
            usage = Usage(input_tokens=int(prompt), output_tokens=int(written), counted_by="vendor")
        return Finish(reason=reason, usage=usage, model=self._model)

    def _failed(self, message: str) -> ModelError:
        words = message.lower()
        if "flagged" in words:
            return failure(self._provider, 0, {}, message=message, code=_FLAGGED)
        code = "server_error" if any(one in words for one in _PASSING) else "invalid_request"
        return failure(self._provider, 0, {}, message=message, code=code)

    def end(self) -> Iterable[ModelEvent]:
        """Finish if all of the output had come, even if the metrics did not."""
        if self._done and not self._ended:
            yield self._finish({})

    def next_call(self) -> HttpCall | None:
        """The stream of the output, or another look at the prediction."""
        if self._ended:
            return None
        if not self._told and not self._streaming and self._request.streamed and self._urls.get("stream"):
            url = self._urls["stream"]
            headers = {**self._wire.headers_for(url), "Accept": "text/event-stream", "Cache-Control": "no-store"}
            return HttpCall(method="GET", url=url, headers=headers)
        if self._streaming and not self._told:
            return None  # the stream broke off
        url = self._urls.get("get", "")
        if not url or (self._done and self._looks >= _METRICS):
            return None
        delay = 0.0 if self._done and not self._looks else _POLLS[min(self._looks, len(_POLLS) - 1)]
        self._looks += 1
        return HttpCall(method="GET", url=url, headers=self._wire.headers_for(url), delay=delay, optional=self._done)

    def cancelling_call(self) -> HttpCall | None:
        """POST to the prediction's cancel URL, unless it is over."""
        url = self._urls.get("cancel")
        if not url or self._told or self._status in _OVER:
            return None
        return HttpCall(url=url, headers=self._wire.headers_for(url))


# --- prompts ----------------------------------------------------------------------------------------------------


class _Template:
    """How a family of models was trained to read a conversation. Sources: the templates that come with the models."""

    def __init__(self, turn: str, reply: str, *, begin: str = "", system: bool = True) -> None:
        self._turn = turn
        self._reply = reply
        self._begin = begin
        self._system = system

    def written(self, messages: Sequence[Message]) -> str:
        """The prompt, up to the place where the reply begins or goes on."""
        begun = messages[-1].text if messages and messages[-1].role == "assistant" else None
        turns = messages if begun is None else messages[:-1]
        if not self._system:
            return self._begin + self._instructions(turns) + (begun or "")
        written = [self._turn.format(role=one.role, text=one.text) for one in turns]
        return self._begin + "".join(written) + self._reply + (begun or "")

    def _instructions(self, turns: Sequence[Message]) -> str:
        """Without a role of its own for the system: what it says stands before the first question."""
        before = "".join(f"{one.text}\n\n" for one in turns if one.role == "system")
        written = []
        for one in turns:
            if one.role == "assistant":
                written.append(self._reply.format(text=one.text))
            elif one.role != "system":
                written.append(self._turn.format(text=before + one.text))
                before = ""
        return "".join(written)


_TEMPLATES: Final[Mapping[str, _Template]] = {
    "chatml": _Template("<|im_start|>{role}\n{text}<|im_end|>\n", "<|im_start|>assistant\n"),
    "llama3": _Template(
        "<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        begin="<|begin_of_text|>",
    ),
    "mistral": _Template("[INST] {text} [/INST]", " {text}</s>", begin="<s>", system=False),
}


def _conversation(turns: Sequence[Message]) -> str:
    """One question as it is; more turns with their roles before them, open at the end for the reply."""
    if len(turns) == 1 and turns[0].role == "user":
        return turns[0].text
    names = {"user": "User", "assistant": "Assistant", "tool": "Result"}
    return "\n\n".join([*(f"{names[one.role]}: {one.text}" for one in turns), "Assistant:"])


def _text(output: object, provider: str) -> str:
    """The output of a model for text: a text, or a list of its pieces."""
    if output is None:
        return ""
    if isinstance(output, str):
        return output
    if isinstance(output, list) and all(isinstance(one, str) for one in output):
        return "".join(output)
    raise InvalidReply(f"{provider} sent an output that is not text", provider=provider)
