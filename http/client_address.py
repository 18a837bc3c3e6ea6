"""The address of a request's client, behind proxies if they are trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import HttpVersion11, web

from ..actors.domain.audit import Origin
from ..actors.foundation import log

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

PROXY_HEADERS = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Forwarded-Server",
    "X-Original-Forwarded-For",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
)
"""Headers that proxies add; any of them means that the socket's peer forwards for another client."""
MAX_USER_AGENT = 255

_CLIENTS = ("X-Forwarded-For", "Forwarded")
"""Headers that are read when a trusted proxy sends them."""

_log = log.get(__name__)
_FOR = re.compile(r'(?:^|[;\s])for\s*=\s*(?:"([^"]*)"|([^;\s"]*))', re.IGNORECASE)


def socket_peer(request: web.Request) -> Address | None:
    """The socket's peer; ``None`` for a Unix socket or a closed connection."""
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    return address(peer[0]) if isinstance(peer, tuple) else None


@lru_cache(maxsize=4096)  # peers repeat, and parsing costs as much as a look-up of a principal
def address(text: str) -> Address | None:
    """Parse an address as proxies write it: with a port, in brackets, IPv4 inside IPv6; zones are dropped."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed


def client(request: web.Request, trusted: Sequence[Network]) -> Address | None:
    """The nearest hop that is no trusted proxy. Headers count only from a trusted one, and are read from the right."""
    hop = socket_peer(request)
    if not trusted or hop is None:
        return hop
    forwarded = _hops(request)
    while any(hop in network for network in trusted):
        further = next(forwarded, None)
        if further is None:
            return hop
        hop = further
    return hop


def is_direct_loopback(request: web.Request) -> bool:
    """Whether the request comes from this machine and, as far as can be seen, through no proxy on it.

    A proxy that adds no header forwards the public host name, or speaks HTTP/1.0, as nginx does by default.
    """
    peer = socket_peer(request)
    return (
        peer is not None
        and peer.is_loopback
        and request.version >= HttpVersion11
        and not any(name in request.headers for name in PROXY_HEADERS)
        and _names_this_machine(request.headers.get("Host", ""))
    )


def _names_this_machine(host: str) -> bool:
    if host.partition(":")[0].lower() == "localhost":
        return True
    parsed = address(host)
    return parsed is not None and parsed.is_loopback


def origin(request: web.Request, request_id: str, peer: str | None) -> Origin:
    """The origin of a request of ``peer`` for audit events. The user agent is made storable and cut to 255 characters.

    ``peer`` is the ``client``'s address.
    """
    if peer is not None and any(map(request.headers.__contains__, _CLIENTS)):
        near = address(peer)
        if near is not None and (near.is_loopback or near.is_private):
            _warn_untrusted(peer)
    agent = request.headers.get("User-Agent")
    if agent is not None:
        agent = agent.encode("utf-8", "replace").decode()[:MAX_USER_AGENT]
    return Origin(request_id=request_id, ip=peer, user_agent=agent)


@lru_cache(maxsize=256)  # warns once for each
def _warn_untrusted(peer: str) -> None:
    """All clients behind an untrusted proxy count as one: they share throttles and an address in the audit trail."""
    _log.warning("proxy_not_trusted", peer=peer, mend="name it in VOYAGENT_TRUSTED_PROXIES if it is a proxy of yours")


def _hops(request: web.Request) -> Iterator[Address]:
    """The forwarded addresses, nearest first, up to the first malformed one."""
    lines = request.headers.getall("X-Forwarded-For", [])
    if lines:
        names = [name for line in lines for name in line.split(",")]
    else:
        elements = [part for line in request.headers.getall("Forwarded", []) for part in line.split(",")]
        names = [_for(element) for element in elements]
    for name in reversed(names):
        hop = address(name)
        if hop is None:
            return
        yield hop


def _for(element: str) -> str:
    """The ``for`` of one element of ``Forwarded`` (RFC 7239)."""
    match = _FOR.search(element)
    return (match[1] or match[2] or "") if match else ""
