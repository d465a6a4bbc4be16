"""What a server is asked for that it may not be able to do, and what the options of a model's URL say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sourcebook.errors import ConfigError, InvalidRequest
from sourcebook.models.base import Capabilities, ModelRequest
from sourcebook.models.formats.turns import begun

GO_ON: Final = "Ask it in a message of the user to go on"


def unable(provider: str, what: str, remedy: str) -> InvalidRequest:
    """The error for a wish that a server of this kind cannot grant."""
    return InvalidRequest(f"{provider} cannot {what}", remedy=remedy, provider=provider)


def ensure_able(request: ModelRequest, capabilities: Capabilities, provider: str) -> None:
    """Refuse what would be missing from the reply: tools, pictures, a schema, the rest of a reply that was begun.

    How the reply is written (seed, reasoning) and what comes besides (log probabilities) is passed over where it
    cannot be had. Errors: InvalidRequest.
    """
    if request.tools and not capabilities.tools:
        raise unable(provider, "call tools", "Name a model that can")
    if any(one.images for one in request.messages) and not capabilities.images:
        raise unable(provider, "take images", "Name a model that can")
    if request.schema is not None and not capabilities.schema:
        raise unable(provider, "be held to a JSON schema", "Ask for JSON in words, and check it")
    if begun(request.messages) is not None and not capabilities.continues:
        raise unable(provider, "continue a reply that was begun", GO_ON)


# --- options of a model's URL -------------------------------------------------------------------------------


def told(options: Mapping[str, str], name: str, *, otherwise: bool) -> bool:
    """An option that is true or false. Errors: ConfigError, if it is neither."""
    said = chosen(options, name, ("true", "false"))
    return otherwise if said is None else said == "true"


def chosen(options: Mapping[str, str], name: str, known: Sequence[str]) -> str | None:
    """An option that is one of a few words; None where it is not given. Errors: ConfigError, if it is another."""
    said = options.get(name)
    if said is not None and said not in known:
        raise ConfigError(f"{name}={said!r} in the model's URL", remedy=f"It is one of: {', '.join(known)}")
    return said
