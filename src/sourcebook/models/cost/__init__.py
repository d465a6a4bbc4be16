"""What calls cost: known models and their prices, tokens, estimates, the ledger's thread, and the wrapper that pays.

known -> estimate -> reserve -> the call -> price -> settle
"""

from sourcebook.models.cost.bookkeeping import Accounts, Bookkeeper
from sourcebook.models.cost.known import FILE, ImageRule, KnownModel, Overhead, Rates, all_known, known
from sourcebook.models.cost.metered import Ledger, Metered
from sourcebook.models.cost.price import Estimate, estimate, price, prompt_tokens
from sourcebook.models.cost.tokens import TokenCounter, counter_for, is_estimate

__all__ = [
    "FILE",
    "Accounts",
    "Bookkeeper",
    "Estimate",
    "ImageRule",
    "KnownModel",
    "Ledger",
    "Metered",
    "Overhead",
    "Rates",
    "TokenCounter",
    "all_known",
    "counter_for",
    "estimate",
    "is_estimate",
    "known",
    "price",
    "prompt_tokens",
]
