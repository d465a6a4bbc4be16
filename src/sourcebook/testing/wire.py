"""What every wire format must do, proved against a double of its vendor.

    class TestMyFormat(WireSuite):
        def double(self):
            return MyDouble()

        def wire(self, target):
            return MyFormat(target)

It needs pytest and pytest-asyncio. What else a subclass may say is told by `WireCase`, and what a double is by
`sourcebook.testing.doubles`.
"""

from sourcebook.testing.wire_case import ASKED, BUILT, PIXEL, WEATHER
from sourcebook.testing.wire_errors import WireErrors
from sourcebook.testing.wire_replies import WireReplies
from sourcebook.testing.wire_streams import WireStreams

__all__ = ["ASKED", "BUILT", "PIXEL", "WEATHER", "WireSuite"]


class WireSuite(WireReplies, WireErrors, WireStreams):
    """Subclass it; give `double` and `wire`. What the format declares is tested; what it does not, it must refuse."""
