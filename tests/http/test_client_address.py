"""Who is at the other end: proxies are believed only where they are trusted."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from voyagent.http import client_address

if TYPE_CHECKING:
    from tests.http.conftest import Client

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


class Transport:
    """A connection from ``peer``."""

    def __init__(self, peer: Any) -> None:
        self.peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.peer if name == "peername" else default


def request(peer: Any, *headers: tuple[str, str]) -> web.Request:
    return make_mocked_request("GET", "/", headers=CIMultiDict(headers), transport=Transport(peer))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3.4", "1.2.3.4"),
        (" 1.2.3.4:5678 ", "1.2.3.4"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
        ("1.2.3", None),
        ("1.2.3.4, 5.6.7.8", None),
    ],
)
def test_an_address_is_read_in_every_form_proxies_write(text: str, expected: str | None) -> None:
    assert client_address.address(text) == (None if expected is None else ip_address(expected))


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("8.8.8.8", {}, "8.8.8.8"),
        ("8.8.8.8", {"X-Forwarded-For": "127.0.0.1"}, "8.8.8.8"),
        ("8.8.8.8", {"Forwarded": "for=127.0.0.1"}, "8.8.8.8"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {"X-Forwarded-For": "1.1.1.1"}, "1.1.1.1"),
        ("10.0.0.1", {"X-Forwarded-For": "127.0.0.1, 1.1.1.1"}, "1.1.1.1"),
        ("10.0.0.1", {"X-Forwarded-For": "6.6.6.6, 1.1.1.1, 10.0.0.2"}, "1.1.1.1"),
        ("10.0.0.1", {"X-Forwarded-For": "10.0.0.3, 10.0.0.2"}, "10.0.0.3"),
        ("10.0.0.1", {"X-Forwarded-For": "1.1.1.1, nonsense"}, "10.0.0.1"),
        ("10.0.0.1", {"X-Forwarded-For": "1.1.1.1, nonsense, 10.0.0.2"}, "10.0.0.2"),
        ("10.0.0.1", {"Forwarded": 'for=6.6.6.6, For="[2001:db8::1]:47011";proto=https'}, "2001:db8::1"),
        ("10.0.0.1", {"Forwarded": "proto=https;for=1.1.1.1;by=10.0.0.1"}, "1.1.1.1"),
        ("10.0.0.1", {"Forwarded": "for=_hidden"}, "10.0.0.1"),
        ("10.0.0.1", {"X-Real-IP": "1.1.1.1"}, "10.0.0.1"),
        ("fd00::1", {"X-Forwarded-For": "1.1.1.1"}, "1.1.1.1"),
        ("::ffff:10.0.0.1", {"X-Forwarded-For": "1.1.1.1"}, "1.1.1.1"),
    ],
)
def test_r46_headers_count_from_trusted_proxies_alone_and_are_read_from_the_right(
    peer: str, headers: dict[str, str], expected: str
) -> None:
    assert client_address.client(request((peer, 1234), *headers.items()), PROXIES) == ip_address(expected)


def test_several_lines_are_one_list() -> None:
    lines = (("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "1.1.1.1, 10.0.0.2"))

    assert client_address.client(request(("10.0.0.1", 1), *lines), PROXIES) == ip_address("1.1.1.1")


def test_without_trusted_proxies_the_socket_is_the_client() -> None:
    assert client_address.client(request(("10.0.0.1", 1), ("X-Forwarded-For", "1.1.1.1")), ()) == ip_address("10.0.0.1")


@pytest.mark.parametrize("peer", ["", None, "/run/voyagent.sock"])
def test_a_unix_socket_has_no_address(peer: Any) -> None:
    assert client_address.client(request(peer), PROXIES) is None
    assert not client_address.is_direct_loopback(request(peer))


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_somebody_on_this_machine_is_known_by_the_socket(peer: str) -> None:
    assert client_address.is_direct_loopback(request((peer, 1), ("Host", "localhost")))
    for name in client_address.PROXY_HEADERS:
        assert not client_address.is_direct_loopback(request((peer, 1), ("Host", "localhost"), (name, "")))


def test_a_proxy_nobody_trusts_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    client_address._warn_untrusted.cache_clear()
    for peer, name, trusted in (
        ("127.0.0.1", "X-Forwarded-For", PROXIES),
        ("127.0.0.1", "Forwarded", PROXIES),
        ("192.168.0.7", "X-Forwarded-For", ()),
        ("10.0.0.1", "X-Forwarded-For", PROXIES),
        ("127.0.0.2", "X-Request-ID", ()),
        ("8.8.8.8", "X-Forwarded-For", ()),
    ):
        asked = request((peer, 1), (name, "for=1.1.1.1" if name == "Forwarded" else "1.1.1.1"))
        client_address.origin(asked, "r", str(client_address.client(asked, trusted)))
    told = [line for line in capsys.readouterr().out.splitlines() if "proxy_not_trusted" in line]
    assert ["127.0.0.1" in told[0], "192.168.0.7" in told[1], len(told)] == [True, True, 2]


async def test_the_origin_of_an_act_can_be_stored(client: Client) -> None:
    await client.raw(
        b"GET /auth/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer nobody\r\nConnection: close\r\nUser-Agent: a\xffb"
        + b"x" * 300
        + b"\r\n\r\n"
    )

    [asked] = client.accounts.asked
    assert asked.request.origin.user_agent == ("a?b" + "x" * 300)[: client_address.MAX_USER_AGENT]
    assert asked.request.origin.ip == "127.0.0.1"


@given(text=st.text(max_size=60))
def test_no_header_crashes_the_reading(text: str) -> None:
    for name in ("Forwarded", "X-Forwarded-For"):
        read = client_address.client(request(("10.0.0.1", 1), (name, text)), PROXIES)
        assert read == ip_address(str(read))
