"""Who is at the other end of the socket, and whom they speak for."""

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
"""What proxies add; any of them says that somebody else is behind the socket's other end."""
MAX_USER_AGENT = 255

_CLIENTS = ("X-Forwarded-For", "Forwarded")
"""Those that are read, from a trusted one."""

_log = log.get(__name__)
_FOR = re.compile(r'(?:^|[;\s])for\s*=\s*(?:"([^"]*)"|([^;\s"]*))', re.IGNORECASE)


def socket_peer(request: web.Request) -> Address | None:
    """The socket's other end; ``None`` for a Unix socket or a connection that is gone."""
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    return address(peer[0]) if isinstance(peer, tuple) else None


@lru_cache(maxsize=4096)  # the same few peers come again and again, and parsing costs as much as a lookup of a person
def address(text: str) -> Address | None:
    """An address in any form proxies write it: with a port, in brackets, IPv4 inside IPv6; zones are dropped."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def client(request: web.Request, trusted: Sequence[Network]) -> Address | None:
    """The nearest hop no trusted proxy vouches for: headers count only from one, and are read from the right."""
    hop = socket_peer(request)
    if not trusted or hop is None:
        return hop
    named = _hops(request)
    while any(hop in network for network in trusted):
        further = next(named, None)
        if further is None:
            return hop
        hop = further
    return hop


def is_direct_loopback(request: web.Request) -> bool:
    """Somebody on this machine, not a proxy on it speaking for a stranger, as far as can be told.

    A proxy that adds no header passes the name on it was called by, or speaks HTTP/1.0, as nginx does by itself.
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
    found = address(host)
    return found is not None and found.is_loopback


def origin(request: web.Request, request_id: str, trusted: Sequence[Network]) -> Origin:
    """The request's part of an audit event. The user agent is made storable and cut."""
    peer = client(request, trusted)
    if peer is not None and (peer.is_loopback or peer.is_private) and any(map(request.headers.__contains__, _CLIENTS)):
        _say_untrusted(str(peer))
    agent = request.headers.get("User-Agent")
    if agent is not None:
        agent = agent.encode("utf-8", "replace").decode()[:MAX_USER_AGENT]
    return Origin(request_id=request_id, ip=str(peer) if peer is not None else None, user_agent=agent)


@lru_cache(maxsize=256)  # once for each
def _say_untrusted(peer: str) -> None:
    """Whoever comes through this proxy is one client to us: they share throttles, and one address in the audit."""
    _log.warning("proxy_not_trusted", peer=peer, mend="name it in VOYAGENT_TRUSTED_PROXIES if it is a proxy of yours")


def _hops(request: web.Request) -> Iterator[Address]:
    """What the proxies wrote, nearest first, up to the first that is no address."""
    written = request.headers.getall("X-Forwarded-For", [])
    if written:
        names = [name for line in written for name in line.split(",")]
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
    found = _FOR.search(element)
    return (found[1] or found[2] or "") if found else ""
