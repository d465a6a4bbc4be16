"""Asking a model on the side: what it is sent, and when it is waited for no longer."""

from time import monotonic

import pytest

from sourcebook.errors import DeadlineExceeded, Refused
from sourcebook.models.base import Capabilities, Message
from sourcebook.prompt.aside import Payer, ask_aside
from tests.prompt.scripted import Scripted

MESSAGES = (Message(role="user", text="Say it in other words."),)
PAYER = Payer(tenant="acme", account="team", answer_id="a1")


async def test_what_is_asked_and_who_pays() -> None:
    model, began = Scripted("so"), monotonic()
    reply = await ask_aside(
        model, MESSAGES, purpose="vary", tokens=70, seconds=5.0, payer=PAYER, schema={"type": "object"}
    )
    (request,) = model.requests
    assert reply.text == "so"
    assert (request.messages, request.max_output_tokens, request.temperature) == (MESSAGES, 70, 0.0)
    assert (request.tenant, request.account, request.answer_id, request.purpose) == ("acme", "team", "a1", "vary")
    assert (request.schema, request.streamed) == ({"type": "object"}, False)
    assert request.deadline is not None
    assert began + 4.9 < request.deadline < began + 6


async def test_a_schema_is_for_models_that_obey_one() -> None:
    model = Scripted("so")
    model.capabilities = Capabilities()
    await ask_aside(model, MESSAGES, purpose="vary", tokens=70, seconds=5.0, payer=PAYER, schema={"type": "object"})
    assert model.requests[0].schema is None


async def test_the_nearer_deadline_holds() -> None:
    model, nearer = Scripted("so"), monotonic() + 1
    await ask_aside(model, MESSAGES, purpose="vary", tokens=70, seconds=5.0, payer=PAYER, deadline=nearer)
    assert model.requests[0].deadline == nearer


async def test_a_model_that_does_not_heed_its_deadline_is_not_waited_for() -> None:
    began = monotonic()
    with pytest.raises(DeadlineExceeded):
        await ask_aside(Scripted("late", seconds=30.0), MESSAGES, purpose="vary", tokens=70, seconds=0.0, payer=PAYER)
    assert monotonic() - began < 10


async def test_what_the_model_raises_passes() -> None:
    with pytest.raises(Refused):
        await ask_aside(Scripted(Refused("no")), MESSAGES, purpose="vary", tokens=70, seconds=5.0, payer=PAYER)


async def test_thoughts_are_no_part_of_the_reply() -> None:
    for text in ("<think>Hm.</think>so", "Hm.</think>so", "so"):
        reply = await ask_aside(Scripted(text), MESSAGES, purpose="vary", tokens=70, seconds=5.0, payer=PAYER)
        assert reply.text == "so"
