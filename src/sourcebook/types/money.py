"""Budgets and the ledger of model calls. Amounts are micro-US-dollars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sourcebook.types.answer import Usage

Period = Literal["day", "month", "total"]
"""What a budget is for. Days and months are UTC's."""

Outcome = Literal["finished", "broken", "cancelled", "lost"]
"""How a model call ended. "lost": its process died during the call, which is taken to have cost all that was held."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What may be spent in a period: by one account of a tenant, or by all of them together (account "*")."""

    tenant: str = "default"
    account: str = "*"
    period: Period
    limit: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetStanding:
    """A budget as it stands. spent: settled; held: for calls under way. renews: the day it begins anew, or None."""

    budget: Budget
    spent: int
    held: int
    renews: str | None

    @property
    def left(self) -> int:
        """What a further call may cost at most; negative if more was spent than the limit."""
        return self.budget.limit - self.spent - self.held


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """Money held for a call before it is made. id: the call's. at: stamp; the call counts to the day of it."""

    id: str
    at: str
    tenant: str
    account: str
    model: str
    purpose: str
    amount: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRecord:
    """One model call in the usage ledger.

    id: ours, the same as of its reservation. at: stamp of its beginning. request_id: the vendor's.
    reserved: what was held for it; 0 if no budget applied. A vendor may charge more than that: cost is the truth.
    """

    id: str
    at: str
    tenant: str
    account: str
    purpose: str
    model: str
    outcome: Outcome
    usage: Usage
    request_id: str = ""
    answer_id: str | None = None
    reserved: int = 0
