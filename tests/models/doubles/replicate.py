"""A stand-in for Replicate's predictions, from its SDK and its API reference."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from aiohttp import web

from sourcebook.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.testing.doubles import REQUEST_ID, Double, Fault, Reply, Seen

ERRORS: dict[type[ModelError], tuple[int, str, str]] = {
    InvalidRequest: (422, "Input validation failed", "- input.temperature: Must be less than or equal to 5\n"),
    NotAuthorised: (401, "Unauthenticated", "You did not pass a valid authentication token: {key}"),
    NoSuchModel: (404, "", "The requested resource could not be found."),
    ContextTooLong: (422, "Input validation failed", "The prompt exceeds the maximum context length of the model."),
    RateLimited: (429, "", "Request was throttled. Expected available in 1 second."),
    QuotaExhausted: (402, "Insufficient credit", "You have insufficient credit to run this model."),
    Refused: (422, "", "The input was flagged as sensitive and blocked. Please try again with different inputs."),
    Unavailable: (503, "Service unavailable", "The service is unavailable, try again."),
}
INPUTS: Mapping[str, Any] = {
    "prompt": str, "system_prompt": str, "prompt_template": str, "max_tokens": int, "temperature": int | float,
    "top_p": int | float, "seed": int, "stop_sequences": str,
}  # fmt: skip
OVER = ("succeeded", "failed", "canceled")


class ReplicateDouble(Double):
    """POST of a prediction, its stream, its state, its cancelling.

    polls: looks at a prediction that is not streamed until it is over, if its caller does not wait. streams_output:
    whether predictions have a stream. late_metrics: looks after which a prediction tells its metrics.
    """

    def __init__(self, *, polls: int = 0, streams_output: bool = True, late_metrics: int = 0) -> None:
        super().__init__()
        self.polls = polls
        self.streams_output = streams_output
        self.late_metrics = late_metrics
        self.lost = False
        self.cancelled: list[str] = []
        self.looked: list[str] = []
        self._made: dict[str, _Prediction] = {}

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/v1/models/{owner}/{name}/predictions", self.create),
            web.post("/v1/deployments/{owner}/{name}/predictions", self.create),
            web.post("/v1/predictions", self.create),
            web.get("/v1/predictions/{id}", self.look),
            web.get("/stream/{id}", self.stream),
            web.post("/v1/predictions/{id}/cancel", self.cancel),
        ]

    def streams(self, seen: Seen) -> bool:
        return bool(seen.body.get("stream"))

    def check(self, seen: Seen) -> str:
        inputs = seen.body.get("input")
        if set(seen.body) - {"input", "version", "stream", "webhook", "webhook_events_filter"}:
            return f"unknown fields: {sorted(seen.body)}"
        if (seen.path == "/v1/predictions") != ("version" in seen.body):
            return "a version belongs to /predictions, and to nothing else"
        if not isinstance(inputs, dict) or not isinstance(inputs.get("prompt"), str):
            return "no prompt"
        wrong = [name for name, value in inputs.items() if not isinstance(value, INPUTS.get(name, object))]
        return f"inputs of another type: {wrong}" if wrong else ""

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        status, title, detail = ERRORS[fault.error]
        body = {
            "detail": detail.format(key=self.presented(seen)),
            "status": status,
            **({"title": title} if title else {}),
        }
        return status, {"content-type": "application/problem+json"}, json.dumps(body).encode()

    def fault_event(self, fault: Fault) -> bytes | None:
        return _event("error", json.dumps({"detail": ERRORS[fault.error][2]}))

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        return json.dumps(self._shown(_Prediction("p0", seen, reply, None, "succeeded"))).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        return [*(_event("output", one) for one in reply.pieces), _event("done", "{}")]

    async def create(self, request: web.Request) -> web.StreamResponse:
        seen = await self.note(request)
        if not self.authorised(seen):
            return self._refused(Fault(error=NotAuthorised), seen)
        if wrong := self.check(seen):
            response = self._refused(Fault(error=InvalidRequest), seen)
            response.headers["x-found-wrong"] = wrong
            return response
        say = self.next_reply(seen)
        if isinstance(say, Fault) and say.after is None:
            return self._refused(say, seen)
        fault, reply = (say, Reply()) if isinstance(say, Fault) else (None, say)
        if reply.finish == "length":  # the vendor tells it by the number of tokens only
            limit = seen.body["input"].get("max_tokens", 1)
            reply = replace(reply, usage=replace(reply.usage, output_tokens=limit))
        made = _Prediction(f"p{len(self._made) + 1}", seen, reply, fault, "starting", looks=self.polls)
        self._made[made.id] = made
        headers = {self.request_id_header: REQUEST_ID}
        if not self.streams(seen) and not self.polls:
            made.status = "succeeded"
            if reply.cut_after is not None or reply.stall_after is not None:
                body = json.dumps(self._shown(made)).encode()
                return await self._write(request, [body], reply, None, "application/json", headers)
        return web.json_response(self._shown(made), status=201, headers=headers)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        made = self._made[request.match_info["id"]]
        made.status = "processing"
        headers = {self.request_id_header: REQUEST_ID}
        events = self.streamed(made.reply, made.seen)
        response = await self._write(request, events, made.reply, made.fault, self.content_type, headers)
        made.status = "failed" if made.fault else "succeeded"
        made.looks = self.late_metrics
        return response

    async def look(self, request: web.Request) -> web.StreamResponse:
        made = self._made[request.match_info["id"]]
        self.looked.append(made.id)
        if self.lost:
            return web.json_response({"detail": "Not now"}, status=503)
        if made.status not in OVER:
            made.looks -= 1
            made.status = "succeeded" if made.looks <= 0 else "processing"
            made.looks = self.late_metrics if made.status == "succeeded" else made.looks
            return web.json_response(self._shown(made))
        shown = self._shown(made)
        if made.looks > 0:
            made.looks -= 1
            shown["metrics"] = {}
        return web.json_response(shown)

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        made = self._made[request.match_info["id"]]
        assert request.headers.get("authorization") == f"Bearer {self.key}"
        self.cancelled.append(made.id)
        made.status = "canceled"
        return web.json_response(self._shown(made))

    def _shown(self, made: "_Prediction") -> dict[str, Any]:
        over = made.status == "succeeded"
        urls = {
            "get": f"{self.url}/v1/predictions/{made.id}",
            "cancel": f"{self.url}/v1/predictions/{made.id}/cancel",
            "web": f"https://replicate.com/p/{made.id}",
        }
        if self.streams_output:
            urls["stream"] = f"{self.url}/stream/{made.id}"
        usage = made.reply.usage
        metrics = {
            "input_token_count": usage.input_tokens,
            "output_token_count": usage.output_tokens,
            "predict_time": 0.5,
            "total_time": 0.6,
        }
        return {
            "id": made.id,
            "model": "meta/meta-llama-3-8b-instruct",
            "version": "hidden",
            "input": dict(made.seen.body.get("input") or {}),
            "logs": "",
            "output": list(made.reply.pieces) if over else None,
            "data_removed": False,
            "error": None,
            "status": made.status,
            "created_at": "2026-11-22T12:00:00.123Z",
            "started_at": "2026-11-22T12:00:01.123Z" if over else None,
            "completed_at": "2026-11-22T12:00:02.123Z" if over else None,
            "urls": urls,
            "metrics": metrics if over else None,
        }


class _Prediction:
    def __init__(self, id: str, seen: Seen, reply: Reply, fault: Fault | None, status: str, looks: int = 0) -> None:
        self.id = id
        self.seen = seen
        self.reply = reply
        self.fault = fault
        self.status = status
        self.looks = looks


def _event(kind: str, data: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"event: {kind}\nid: 1732276800000:0\n{lines}\n".encode()
