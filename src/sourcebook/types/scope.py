"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Who is asking. Nothing outside it is found, counted or named.

    tenant: books are divided by tenant; nothing crosses.
    principals: the names (users, groups) that the asker goes by. A document with an access list is seen by
    those who share a name with it; a document without one, by everybody in the tenant.
    """

    tenant: str = "default"
    principals: frozenset[str] = frozenset()

    def admits(self, tenant: str, access: frozenset[str]) -> bool:
        """Whether a document of this tenant with this access list (empty: open to all) may be seen."""
        return tenant == self.tenant and (not access or not access.isdisjoint(self.principals))
