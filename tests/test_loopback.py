"""Which addresses are this machine's own."""

import pytest

from sourcebook.loopback import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1", "[::1]"])
def test_own(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "example.org", "localhost.example.org", "128.0.0.1", "10.0.0.1"])
def test_of_others(host: str) -> None:
    assert not is_loopback(host)
