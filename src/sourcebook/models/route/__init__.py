"""Models made of models: each wrapper is a `Model`, and they compose freely.

    Watched     notices silence, and streams that do not keep to the protocol
    Breaking    leaves a model alone that fails too often
    Limited     so many calls at once, so many calls and tokens a minute
    Retrying    asks again, as long as nothing was seen of the reply
    Observed    counts and times calls
    Fallback    the next model takes over, also in the middle of a reply
    Chosen      the first, cheapest or quickest model that can do what is asked
    Split       shares calls out by weight
    Cascade     the cheap model first, the strong one when evidence asks for it
    Hedged      a second call when the first is slower than most
    Bounded     ends everything at the deadline

`build` puts them together as the section [route] of sourcebook.toml says.

What is metered is the call of one model, innermost of all, so that every attempt, retry and hedge has its own
reservation and its own row in the usage ledger. What wrappers add to a Finish's usage is the sum for its reader and
is booked nowhere.
"""

from sourcebook.models.route.bounded import Bounded
from sourcebook.models.route.breaking import Breaker, Breaking
from sourcebook.models.route.cascade import Cascade, CascadeReport
from sourcebook.models.route.chosen import Chosen
from sourcebook.models.route.doubt import Thresholds
from sourcebook.models.route.fallback import Fallback
from sourcebook.models.route.hedged import Hedged
from sourcebook.models.route.latency import Observed
from sourcebook.models.route.limited import Limited
from sourcebook.models.route.limiter import Limiter
from sourcebook.models.route.policy import ModelReport, Routed, RouteReport, build, without_overrides
from sourcebook.models.route.retrying import Retrying
from sourcebook.models.route.split import Split
from sourcebook.models.route.watched import Watched

__all__ = [
    "Bounded",
    "Breaker",
    "Breaking",
    "Cascade",
    "CascadeReport",
    "Chosen",
    "Fallback",
    "Hedged",
    "Limited",
    "Limiter",
    "ModelReport",
    "Observed",
    "Retrying",
    "RouteReport",
    "Routed",
    "Split",
    "Thresholds",
    "Watched",
    "build",
    "without_overrides",
]
