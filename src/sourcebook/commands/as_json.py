"""What the commands print with --json: docs/json.md says what programs may rely on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sourcebook.types import Answer, Hit, Passage

if TYPE_CHECKING:
    from sourcebook.catalog.conversations import Conversation
    from sourcebook.evaluate.compare import Asked, Measured
    from sourcebook.replay import Replay


def hits_json(hits: Sequence[Hit]) -> dict[str, Any]:
    """Hits as `search --json` prints them."""
    return {
        "hits": [
            {
                "document": hit.passage.document,
                "page": hit.passage.page,
                "start": hit.passage.start,
                "end": hit.passage.end,
                "text": hit.passage.text,
                "score": round(hit.score, 6),
                "passage": hit.passage.id,
                "title": hit.passage.title,
                "headings": list(hit.passage.heading_path),
                "location": hit.passage.location,
                "duplicates": list(hit.duplicates),
            }
            for hit in hits
        ]
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as `ask --json` prints it."""
    from sourcebook.models.record import computed_json

    return {
        "answer": answer.text,
        "known": answer.known,
        "citations": [
            {
                "document": one.document,
                "page": one.page,
                "start": one.start,
                "end": one.end,
                "quote": one.quote,
                "passage": one.passage,
                "title": one.title,
                "location": one.location,
                **({} if one.computed is None else {"computed": computed_json(one.computed)}),
            }
            for one in answer.citations
        ],
        "answer_id": answer.id,
        "model": answer.model,
        "finish": answer.finish,
        "unsupported": [one.text for one in answer.unsupported],
        "left_out": [asdict(one) for one in answer.left_out],
        "usage": {
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "cached_tokens": answer.usage.cached_tokens,
            "reasoning_tokens": answer.usage.reasoning_tokens,
            "exact": answer.usage.exact,
            "cost": answer.usage.cost,
            "priced": answer.usage.priced,
        },
    }


def passage_json(passage: Passage) -> dict[str, Any]:
    """A passage as `show --json` prints it."""
    return {
        "id": passage.id,
        "document": passage.document,
        "version": passage.version,
        "start": passage.start,
        "end": passage.end,
        "page": passage.page,
        "location": passage.location,
        "headings": list(passage.heading_path),
        "language": passage.language,
        "text": passage.text,
    }


def conversation_json(conversation: Conversation) -> dict[str, Any]:
    """A conversation as `conversations show --json` prints it."""
    return {
        "id": conversation.id,
        "started": conversation.started,
        "touched": conversation.touched,
        "summary": conversation.summary,
        "summarised": conversation.summarised,
        "turns": [
            {
                "number": turn.number,
                "at": turn.at,
                "role": turn.role,
                "text": turn.text,
                "removed": turn.removed,
                "answer_id": turn.answer_id,
            }
            for turn in conversation.turns
        ],
    }


# --- examples -----------------------------------------------------------------------------------------------


def replay_json(done: Replay, *, ran: bool, show: bool) -> dict[str, Any]:
    """A replay as `replay --json` prints it. show: with the request."""
    record: dict[str, Any] = {
        "answer_id": done.answer_id,
        "question": done.question,
        "model_before": done.model_before,
        "model_after": done.model_after,
        "same_bytes": done.same_bytes,
        "before": done.before,
    }
    if done.why_not:
        record["why_not"] = done.why_not
    if ran:
        record |= {"after": done.after, "same_text": done.same_text}
    if show:
        record["request"] = done.body.decode("utf-8", "replace")
    return record


def measured_json(one: Measured) -> dict[str, Any]:
    """One model with one way of prompting, as `compare --json` prints it."""
    low, high = one.accuracy_interval
    return {
        "model": one.model,
        "passages": one.passages or "all",
        "accuracy": _rounded(one.accuracy, 4),
        "accuracy_low": round(low, 4),
        "accuracy_high": round(high, 4),
        "refused": _rounded(one.refused, 4),
        "overlap": _rounded(one.overlap, 4),
        "tokens": round(one.tokens, 1),
        "cost": _rounded(one.cost, 1),
        "total_cost": one.usage.cost,
        "priced": one.usage.priced,
        "seconds_p50": round(one.seconds(0.5), 3),
        "seconds_p95": round(one.seconds(0.95), 3),
        "in_prompt": round(one.pasted, 4),
        "errors": one.errors,
    }


def asked_json(model: str, passages: int, one: Asked) -> dict[str, Any]:
    """One answer of a comparison, as `compare --details` writes it."""
    return {
        "model": model,
        "passages": passages or "all",
        "id": one.item.id,
        "question": one.item.text,
        "right_answers": one.item.answers,
        "answer": one.answer,
        "right": one.right,
        "overlap": round(one.overlap, 4),
        "cost": one.usage.cost,
        "priced": one.usage.priced,
        "error": one.error,
        "seconds": round(one.seconds, 3),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
