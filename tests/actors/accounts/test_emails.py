"""E-mails on the wire: whom they reach, whom they do not, and that none is another one's affair."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import SMTPUTF8
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from tests.actors.accounts.email_harness import EmailHarness, FakeTransport
from tests.figures import counted
from tests.mail_server import MailServer
from voyagent.actors import mail
from voyagent.actors.accounts.emails import AmbiguousAddress, Envelope, Smtp, Undelivered, envelope, wire_sender
from voyagent.actors.domain.email_texts import PAGES, Kind
from voyagent.actors.domain.identity import MAX_EMAIL, normal_email, wire_email
from voyagent.actors.domain.ids import uuid7
from voyagent.storage import outbox

if TYPE_CHECKING:
    from tests.actors.accounts.conftest import AccountsHarness

SENDER = "Voyagent <emails@agency.test>"
ENCODED_WORDS = (
    "=?utf-8?q?=0a?=@example.com",
    "=?utf-8?q?=0d=0abcc=3a?=@example.com",
    "=?utf-8?q??=@example.com",
    "=?utf-8?q?asha?=@example.com",
    "=?UTF-8?B?YXNoYQ==?=@example.com",
    "=?utf-8?b?/w==?=@example.com",
    "=?utf-8?q?me=40evil.com=2c?=@example.com",
    "x.=?utf-8?q?asha?=@example.com",
    "a=?b@example.com",
    "Asha <=?utf-8?q?asha?=@example.com>",
    "=?utf-8?q?=61@example.com",
)


def claimed(recipient: str, **changes: Any) -> outbox.Claimed:
    usual: dict[str, Any] = {
        "id": uuid7(),
        "kind": "password_changed",
        "recipient": recipient,
        "payload_sealed": None,
        "attempts": 1,
        "expires_at": None,
        "message_id": "<x@example>",
        "created_at": datetime(2026, 11, 23, tzinfo=UTC),
        "locale": None,
    }
    return outbox.Claimed(**usual | changes)


def addressed(recipient: str, sender: str = SENDER) -> Envelope:
    return envelope(claimed(recipient), {}, base="https://x.example", sender=sender)


@pytest.mark.parametrize("text", ENCODED_WORDS)
def test_an_address_that_readers_of_headers_would_decode_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="invalid_email"):
        normal_email(text)


ODD = "=?_'+-!#$%&*/^`{|}~."
PIECES = st.one_of(
    st.text("abcxyz019ABZ" + ODD, min_size=1, max_size=64),
    st.sampled_from(
        ["=?utf-8?q?=0a?=", "=?", "?=", '"a b"', '"a@b"', '"\\"', "(note)a", "a(note)", "रवि", "é", "İ", "ß"]
    ),
    st.text(min_size=1, max_size=12),
)
DOMAINS = st.one_of(
    st.sampled_from(
        [
            "example.com",
            "EXAMPLE.com",
            "münchen.example",
            "xn--mnchen-3ya.example",
            "भारत.example",
            "straße.example",
            "ﬁ.example",
            "例え.example",
            "a" * 63 + ".example",
            ".".join(["b" * 60] * 3) + ".example",
            "[127.0.0.1]",
            "example.com.",
            "=?utf-8?q?evil?=.example",
            "example.com(note)",
            "example.com,evil.example",
        ]
    ),
    st.text(min_size=1, max_size=20).map(lambda text: f"{text}.example"),
)


@given(st.lists(PIECES, min_size=1, max_size=3).map("".join), DOMAINS, st.sampled_from(["", "Asha Rao "]))
@example("=?utf-8?q?=0a?=", "example.com", "")
@example("=?utf-8?q??=", "example.com", "")
@example("=?utf-8?b?/w==?=", "example.com", "")
@example("=?utf-8?q?asha?=", "example.com", "")
@example("ravi", "münchen.example", "")
@example("रवि", "münchen.example", "")
def test_what_is_accepted_is_written_so_that_it_is_read_back_as_exactly_that(
    local: str, domain: str, name: str
) -> None:
    typed = f"{local}@{domain}"
    try:
        address = normal_email(f"{name}<{typed}>" if name else typed)
    except ValueError:
        return
    assert normal_email(address) == address
    assert len(address) <= MAX_EMAIL
    ready = addressed(address)
    assert ready.recipient == wire_email(address)
    assert normal_email(ready.recipient) == address
    assert ready.recipient.rpartition("@")[2].isascii()
    header: Any = message_from_bytes(ready.message.as_bytes(), policy=SMTPUTF8)["To"]
    read = [each.addr_spec.encode("utf-8", "surrogateescape").decode() for each in header.addresses]
    assert read == [ready.recipient]


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("locale", ["en", "hi"])
def test_no_server_is_asked_for_eight_bits(kind: Kind, locale: str) -> None:
    row = claimed("asha@example.com", kind=kind.value, locale=locale)
    facts = {"token": "t" * 43} if kind in PAGES else {}
    whole = envelope(row, facts, base="https://x.example", sender=SENDER).message.as_bytes()
    assert whole.isascii()
    assert max(map(len, whole.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("given_", "name", "address"),
    [
        ("Voyagent <emails@agency.test>", "Voyagent", "emails@agency.test"),
        ("emails@agency.test", "", "emails@agency.test"),
        ('"Rao, Travels" <emails@agency.test>', "Rao, Travels", "emails@agency.test"),
        ("यात्रा <emails@münchen.example>", "यात्रा", "emails@xn--mnchen-3ya.example"),
    ],
)
def test_a_sender_is_a_name_and_an_address(given_: str, name: str, address: str) -> None:
    read = wire_sender(given_)
    assert (read.display_name, read.addr_spec) == (name, address)


@pytest.mark.parametrize("text", ["", "Voyagent", "<>", "a@b.test, c@d.test", "Voyagent <>", "a@", "@b.test"])
def test_what_is_no_single_address_is_no_sender(text: str) -> None:
    with pytest.raises(ValueError, match="must be one address"):
        wire_sender(text)


@pytest.mark.parametrize("text", ENCODED_WORDS[:7])
def test_an_old_row_with_such_an_address_is_never_written_to_somebody_else(text: str) -> None:
    with pytest.raises((AmbiguousAddress, ValueError, IndexError, UnicodeError)):
        addressed(text)


async def test_r53_poisoned_rows_end_alone_and_all_others_reach_their_people(harness: AccountsHarness) -> None:
    """Written by an older release, or by hand: what cannot be sent ends for itself and is counted."""
    emails = EmailHarness(harness)
    who = (await harness.sign_up()).principal
    poisons = [
        *ENCODED_WORDS[:7],
        "no address",
        "a@b@c",
        "\x00"[:0] + "a\nb@example.com",
        "",
        "x" * 3000 + "@example.com",
    ]
    post = "INSERT INTO outbox (id, kind, recipient, state, due_at, message_id, created_at, updated_at)"
    long_ago = harness.clock.now() - timedelta(minutes=1)
    for number, poison in enumerate([*poisons, "asha@example.com"]):
        kind = "a kind of tomorrow" if poison == "asha@example.com" else "password_changed"
        values = " VALUES ($1, $2, $3, 'due', $4, $5, $4, $4)"
        await harness.db.execute(post + values, uuid7(), kind, poison, long_ago, f"<{number}@example>")
    await emails.change(who)
    dead = mail.metrics.MAIL_LETTERS_TOTAL.labels("password_changed", "dead")
    before = counted(dead)
    with structlog.testing.capture_logs() as lines:
        await emails.deliver()
    assert emails.fake_transport.subjects("asha@example.com") == ["Your password was changed"]
    assert emails.fake_transport.tried == 1
    rows = await harness.db.fetch("SELECT state, cause FROM outbox WHERE state <> 'sent'")
    assert [tuple(row) for row in rows] == [("dead", mail.DEFECT)] * (len(poisons) + 1)
    assert counted(dead) == before + len(poisons)
    told = [line for line in lines if line["event"] == "email_undeliverable"]
    assert len(told) == len(poisons) + 1
    assert not any("=?utf-8" in str({**line, "exc_info": None}) for line in told)


class Broken(FakeTransport):
    """A way out with a defect of its own: whatever it is, it concerns the e-mail at hand."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def deliver(self, ready: Envelope) -> None:
        if "poison" in ready.recipient:
            raise self.error
        await super().deliver(ready)


@pytest.mark.parametrize(
    "error", [ValueError("x"), IndexError(), UnicodeEncodeError("ascii", "é", 0, 1, "x"), KeyError(1)]
)
async def test_a_defect_in_the_way_out_ends_one_email(harness: AccountsHarness, error: Exception) -> None:
    emails = EmailHarness(harness, auth_skip_email_verification=False)
    emails.fake_transport = Broken(error)
    for email in ("poison@example.com", "asha@example.com"):
        await harness.sign_up(email)
    await emails.deliver()
    states = await harness.db.fetch("SELECT recipient, state FROM outbox ORDER BY recipient DESC")
    assert [tuple(row) for row in states] == [("poison@example.com", "dead"), ("asha@example.com", "sent")]


async def test_what_a_wrong_key_cannot_open_is_kept_and_goes_out_when_the_key_is_back(harness: AccountsHarness) -> None:
    emails = EmailHarness(harness, auth_skip_email_verification=False)
    await harness.sign_up()
    right = emails.settings
    for ring in ({"default": bytes(32)}, {"other": bytes(range(32))}):
        emails.settings = right.model_copy(update={"kms_key": ring})
        await emails.deliver()
        row = await harness.db.fetchrow("SELECT state, cause, payload_sealed IS NULL AS erased FROM outbox")
        assert tuple(row) == ("due", mail.NOT_OPENED, False)
        await harness.clock.advance(3600)
    emails.settings = right
    await emails.deliver()
    await emails.verify(emails.fake_transport.token("asha@example.com"))


async def test_not_opened_it_is_dropped_only_when_it_has_expired(harness: AccountsHarness) -> None:
    emails = EmailHarness(harness, auth_skip_email_verification=False)
    await harness.sign_up()
    emails.settings = emails.settings.model_copy(update={"kms_key": {"other": bytes(32)}})
    harness.clock.skip(emails.settings.auth_verification_ttl_seconds)
    await emails.deliver()
    assert await harness.db.fetchval("SELECT state FROM outbox") == "dropped"


async def test_f_non_ascii_domains_travel_as_a_labels_to_any_server(harness: AccountsHarness) -> None:
    async with MailServer() as mail_server:
        emails = EmailHarness(harness, auth_skip_email_verification=False)
        emails.fake_transport = Smtp(mail_server.url)  # type: ignore[assignment]
        await harness.sign_up("ravi@münchen.example")
        await emails.deliver()
        (email,) = mail_server.emails
        assert email["To"] == "ravi@xn--mnchen-3ya.example"
        assert b"RCPT TO:<ravi@xn--mnchen-3ya.example>" in mail_server.commands
        await emails.verify(await mail_server.token("Confirm your e-mail address"))


async def test_a_local_part_beyond_ascii_needs_smtputf8_and_ends_at_once_without_it(harness: AccountsHarness) -> None:
    emails = EmailHarness(harness, auth_skip_email_verification=False)
    async with MailServer() as plain, MailServer(b"SMTPUTF8", b"8BITMIME") as able:
        await harness.sign_up("रवि@münchen.example")
        emails.fake_transport = Smtp(plain.url)  # type: ignore[assignment]
        with structlog.testing.capture_logs() as lines:
            await emails.deliver()
        row = await harness.db.fetchrow("SELECT state, cause FROM outbox")
        assert tuple(row) == ("dead", "smtputf8_not_offered")
        (told,) = [line for line in lines if line["event"] == "email_undeliverable"]
        assert told["reason"] == "smtputf8_not_offered"
        await harness.sign_up("आशा@münchen.example")
        emails.fake_transport = Smtp(able.url)  # type: ignore[assignment]
        await emails.deliver()
        mailed = [command.decode() for command in able.commands if command[:4] in (b"MAIL", b"RCPT")]
        assert mailed[0].endswith(" SMTPUTF8")
        assert mailed[1] == "RCPT TO:<आशा@xn--mnchen-3ya.example>"
        assert len(able.emails) == 1


REFUSED: list[tuple[dict[bytes, bytes], str, str]] = [
    ({b"EHLO": b"554 not you\r\n"}, "", "ehlo_refused 554"),
    ({b"MAIL": b"553 not from there\r\n"}, "", "sender_refused 553"),
    ({b"RCPT": b"550 no such user\r\n"}, "", "recipient_refused 550"),
    ({b"RCPT": b"450 later\r\n"}, "", "recipient_refused 450"),
    ({b"DATA": b"452 full\r\n"}, "", "data_refused 452"),
    ({b"MAIL": b""}, "", "sender_cut_off"),
    ({b"DATA": b""}, "", "data_cut_off"),
    ({}, "user:secret@", "auth_not_offered"),
]


@pytest.mark.parametrize(("answers", "who", "cause"), REFUSED, ids=[row[2] for row in REFUSED])
async def test_the_log_and_the_outbox_keep_a_cause_that_is_safe_to_show(
    harness: AccountsHarness, answers: dict[bytes, bytes], who: str, cause: str
) -> None:
    async with MailServer() as mail_server:
        mail_server.answers = answers
        emails = EmailHarness(harness, auth_skip_email_verification=False)
        emails.fake_transport = Smtp(mail_server.url.replace("//", f"//{who}"))  # type: ignore[assignment]
        await harness.sign_up()
        with structlog.testing.capture_logs() as lines:
            await emails.deliver()
    row = await harness.db.fetchrow("SELECT state, cause FROM outbox")
    assert tuple(row) == ("due", cause)
    (told,) = [line for line in lines if line["event"] == "email_retry_scheduled"]
    assert f"{told['reason']} {told.get('reply', '')}".strip() == cause
    assert "secret" not in str(lines)


async def test_a_server_without_encryption_a_wrong_password_and_an_unknown_certificate_have_causes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cause(mail_server: MailServer, who: str = "") -> str:
        url = f"smtp://{who}localhost:{mail_server.port}"
        with pytest.raises(Undelivered) as refused:
            await Smtp(url, seconds=10).deliver(addressed("asha@example.com"))
        return str(refused.value)

    async with MailServer(b"STARTTLS", tls=certified(tmp_path)) as mail_server:
        mail_server.answers[b"STAR"] = b"220 go on\r\n"
        assert await cause(mail_server) == "certificate_not_trusted"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        mail_server.answers[b"RCPT"] = b"550 encrypted as it is\r\n"
        assert await cause(mail_server) == "recipient_refused 550"
        mail_server.extensions = (b"STARTTLS", b"AUTH PLAIN")
        mail_server.answers[b"AUTH"] = b"535 wrong\r\n"
        assert await cause(mail_server, "user:wrong@") == "auth_refused 535"
        mail_server.answers[b"STAR"] = b"454 not now\r\n"
        assert await cause(mail_server) == "starttls_refused 454"
        mail_server.extensions = ()
        assert await cause(mail_server) == "starttls_not_offered"
        port = mail_server.port
    with pytest.raises(Undelivered, match="server_unreachable"):
        await Smtp(f"smtp://localhost:{port}").deliver(addressed("asha@example.com"))


async def test_an_email_that_was_taken_is_sent_whatever_becomes_of_the_quit() -> None:
    async with MailServer() as mail_server:
        mail_server.answers[b"QUIT"] = b""
        await Smtp(mail_server.url).deliver(addressed("asha@example.com"))
        assert len(mail_server.emails) == 1


async def test_a_trial_holds_the_whole_dialogue_and_sends_nothing() -> None:
    async with MailServer() as mail_server:
        await Smtp(mail_server.url).try_out(addressed("emails@example.com"))
        assert mail_server.emails == []
        verbs = [command[:4] for command in mail_server.commands]
        assert verbs == [b"EHLO", b"MAIL", b"RCPT", b"RSET", b"QUIT"]


def certified(folder: Path) -> ssl.SSLContext:
    """A certificate for localhost that nobody trusts but who is told to."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    today = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "certificate.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context
