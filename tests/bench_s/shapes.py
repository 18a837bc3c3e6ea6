"""Requests made to cost the reader more than the sender, of any size. The bench times them, tests send them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

Shape = Callable[[int], bytes]


def _list(unit: str, front: str = '{"a":[', end: str = "]}") -> Shape:
    """As many of ``unit`` as fit."""

    def make(size: int) -> bytes:
        count = max(1, (size - len(front) - len(end)) // len(unit.encode()))
        return (front + (unit * count).removesuffix(",") + end).encode()

    return make


def _late(what: str) -> Shape:
    """Something absurd at the end of a long list of nothing."""
    return _list("1,", end=f",{what}")


BODIES: dict[str, Shape] = {
    "integers": _list("1,"),
    "fractions": _list("1.5,"),
    "exponents": _list("1e5,"),
    "long numbers": _list("9" * 63 + ","),
    "longest numbers": _list("9" * 1000 + ","),
    "one number": _list("9", '{"a":', "}"),
    "dashes": _list("-", "", ""),
    "constants": _list("true,"),
    "lists": _list("[],"),
    "objects": _list("{},"),
    "empty strings": _list('"",'),
    "shallow towers": _list("[" * 9 + "]" * 9 + ","),
    "deep towers": _list("[" * 90 + "]" * 90 + ","),
    "one tower": _list("[", "", ""),
    "one tower of objects": _list('{"a":', "", ""),
    "a tower at the end": _late("[" * 150),
    "an absurd exponent at the end": _late("1e9999]}"),
    "an absurd constant at the end": _late("NaN]}"),
    "keys": lambda size: ("{" + ",".join(f'"k{n}":1' for n in range(size // 12)) + "}").encode(),
    "one key": _list('"a":1,', "{", "}"),
    "long keys": lambda size: ("{" + ",".join(f'"{"k" * 500}{n}":1' for n in range(size // 510)) + "}").encode(),
    "a long string": _list("a", '{"a":"', '"}'),
    "a long string of another script": _list("ह", '{"a":"', '"}'),
    "an open string": _list("a", '{"a":"', ""),
    "escaped letters": _list("\\u0041", '{"a":"', '"}'),
    "escaped quotes": _list('\\"', '{"a":"', '"}'),
    "backslashes": _list("\\", '{"a":"', ""),
    "lone surrogates": _list('"\\ud800",'),
    "one NUL among many": _list("1,", '{"b":"\\u0000","a":['),
    "letters of exponents": _list("e"),
    "blanks": _list(" ", "", ""),
    "no UTF-8": lambda size: b'{"a":"' + b"\xff" * (size - 6),
    "multipart": lambda size: (
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"b" * (size - 60) + b"\r\n--x--"
    ),
}
"""Name -> a body of about so many bytes."""


def heads(size: int) -> Iterator[tuple[str, bytes]]:
    """Name and head of requests without a body, with about ``size`` bytes of something in them."""
    line = "GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n"
    query = "/auth/invites/lookup?"
    plain = {
        "parameters": query + "&".join(f"p{n}=1" for n in range(size // 8)),
        "one parameter again and again": query + "token=a&" * (size // 8),
        "a long parameter": query + "token=" + "a" * size,
        "escapes in a parameter": query + "token=" + "%41" * (size // 3),
        "escapes that are none": query + "token=" + "%zz" * (size // 3),
        "separators": query + "&" * size,
        "a long id": "/chat/sessions/" + "a" * size,
        "a long number for an id": "/approvals/" + "9" * size,
        "segments": "/a" * (size // 2),
        "slashes": "/" * size,
        "dots": "/.." * (size // 3),
    }
    for name, path in plain.items():
        yield name, line.format(path, "").encode()
    headers = {
        "headers": "".join(f"X-H{n}: 1\r\n" for n in range(size // 10)),
        "one header again and again": "X-H: 1\r\n" * (size // 8),
        "a long header": f"X-H: {'a' * size}\r\n",
        "cookies": f"Cookie: {'a=b; ' * (size // 5)}\r\n",
        "a long bearer": f"Authorization: Bearer {'a' * size}\r\n",
        "dots for a bearer": f"Authorization: Bearer {'.' * size}\r\n",
        "hops": f"X-Forwarded-For: {'1.1.1.1,' * (size // 8)}\r\n",
        "elements": f"Forwarded: {'for=1.1.1.1,' * (size // 12)}\r\n",
        "languages": f"Accept: {'a/b;q=0.1,' * (size // 10)}\r\n",
    }
    for name, lines in headers.items():
        yield name, line.format("/auth/me", lines).encode()


MESSAGES: dict[str, bytes] = {
    "the longest message": b'{"message":"' + b"a" * 32_000 + b'"}',
    "the longest message of another script": '{{"message":"{}"}}'.format("ह" * 32_000).encode(),
    "the longest message, escaped": b'{"message":"' + b"\\u0939" * 32_000 + b'"}',
    "the longest message of line ends": b'{"message":"' + b"\\n" * 31_999 + b'a"}',
    "a message too long": b'{"message":"' + b"a" * 250_000 + b'"}',
    "approvals": ('{"message":"a","approvals":{' + ",".join(f'"k{n}":true' for n in range(50)) + "}}").encode(),
    "too many approvals": ('{"approvals":{' + ",".join(f'"k{n}":true' for n in range(2_000)) + "}}").encode(),
    "approvals that are none": ('{"approvals":{' + ",".join(f'"k{n}":1' for n in range(2_000)) + "}}").encode(),
}
"""Name -> a message that passes the parser, for what is behind it."""


def post(path: str, body: bytes, media: str = "application/json", bearer: str = "") -> bytes:
    """A request with such a body, on a connection of its own."""
    about = f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n"
    if bearer:
        about += f"Authorization: Bearer {bearer}\r\n"
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{about}\r\n".encode() + body
