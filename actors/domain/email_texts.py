"""The texts of all e-mails, in English and Hindi, and the pages their links open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import Final

FALLBACK: Final = "en"


class Kind(StrEnum):
    """The kinds of e-mail."""

    VERIFICATION = "verification"
    PASSWORD_RESET = "password_reset"  # noqa: S105 -- a name
    INVITE = "invite"
    EMAIL_CHANGED = "email_changed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 -- a name
    PASSWORD_WAS_RESET = "password_was_reset"  # noqa: S105 -- a name
    TOTP_ON = "totp_on"
    TOTP_OFF = "totp_off"
    RECOVERY_CODE_USED = "recovery_code_used"
    REFRESH_REUSED = "refresh_reused"


PAGES: Final[Mapping[Kind, str]] = {
    Kind.VERIFICATION: "/app/verify-email",
    Kind.PASSWORD_RESET: "/app/reset-password",
    Kind.INVITE: "/app/accept-invite",
    Kind.EMAIL_CHANGED: "/app/verify-email",
}
"""The page an e-mail links to. Kinds not listed have no link."""


@dataclass(frozen=True, slots=True)
class Words:
    """Subject, paragraphs, and the label of the link."""

    subject: str
    paragraphs: tuple[str, ...]
    button: str = ""


@dataclass(frozen=True, slots=True)
class Composed:
    """The subject and both bodies of an e-mail."""

    subject: str
    text: str
    html: str


_NOT_YOU: Final = "If this was not you, reset your password now and contact your agency's administrator."
_NOT_YOU_HI: Final = "यदि यह आपने नहीं किया, तो तुरंत अपना पासवर्ड बदलें और अपनी एजेंसी के व्यवस्थापक को बताएँ।"

_ENGLISH: Final[Mapping[Kind, Words]] = {
    Kind.VERIFICATION: Words(
        "Confirm your e-mail address",
        (
            "Please confirm that this address is yours.",
            "If you did not request this, ignore this e-mail: nobody can use the address without your confirmation.",
        ),
        "Confirm e-mail address",
    ),
    Kind.PASSWORD_RESET: Words(
        "Set a new password",
        (
            "A new password was requested for this address. The link can be used once and expires soon.",
            "If you did not request this, ignore this e-mail: your password is not changed.",
        ),
        "Set new password",
    ),
    Kind.INVITE: Words(
        "You are invited to Voyagent",
        ("A travel agency has invited you to join it on Voyagent. The link shows you which one.",),
        "View invitation",
    ),
    Kind.EMAIL_CHANGED: Words(
        "Your e-mail address was changed",
        (
            "Your account no longer uses this address.",
            "If this was not you, undo it within 7 days: we will restore this address and sign out all sessions.",
            "We will then e-mail you a link to set a new password.",
        ),
        "Undo change",
    ),
    Kind.PASSWORD_CHANGED: Words("Your password was changed", ("The password of your account was changed.", _NOT_YOU)),
    Kind.PASSWORD_WAS_RESET: Words(
        "Your password was reset",
        ("Your password was reset using a link sent to this address. All sessions were signed out.", _NOT_YOU),
    ),
    Kind.TOTP_ON: Words("Two-factor sign-in is on", ("Signing in now requires a code from your device.", _NOT_YOU)),
    Kind.TOTP_OFF: Words("Two-factor sign-in is off", ("Signing in now requires only your password.", _NOT_YOU)),
    Kind.RECOVERY_CODE_USED: Words(
        "A recovery code was used", ("One of your recovery codes was used. It cannot be used again.", _NOT_YOU)
    ),
    Kind.REFRESH_REUSED: Words(
        "A session was signed out for your security",
        ("A session token was used twice, which may mean that it was stolen. The session was signed out.", _NOT_YOU),
    ),
}

_HINDI: Final[Mapping[Kind, Words]] = {
    Kind.VERIFICATION: Words(
        "अपने ई-मेल पते की पुष्टि करें",
        (
            "कृपया पुष्टि करें कि यह पता आपका है।",
            "यदि आपने यह नहीं माँगा, तो कुछ न करें: आपके बिना कोई इस पते का उपयोग नहीं कर सकता।",
        ),
        "पते की पुष्टि करें",
    ),
    Kind.PASSWORD_RESET: Words(
        "नया पासवर्ड रखें",
        (
            "किसी ने इस पते के लिए नया पासवर्ड माँगा है। यह लिंक केवल एक बार और थोड़े समय तक काम करता है।",
            "यदि यह आप नहीं थे, तो कुछ न करें: आपका पासवर्ड वैसा ही रहेगा।",
        ),
        "नया पासवर्ड रखें",
    ),
    Kind.INVITE: Words(
        "आपको Voyagent पर आमंत्रित किया गया है",
        ("एक ट्रैवल एजेंसी आपको Voyagent पर साथ काम करने के लिए आमंत्रित करती है। लिंक बताता है कि वह कौन है।",),
        "आमंत्रण देखें",
    ),
    Kind.EMAIL_CHANGED: Words(
        "आपका ई-मेल पता बदल दिया गया",
        (
            "आपका खाता अब इस पते का उपयोग नहीं करता।",
            "यदि यह आपने नहीं किया, तो 7 दिनों के भीतर इसे वापस लें: खाता इसी पते पर लौट आएगा और सभी सत्र समाप्त होंगे।",
            "फिर हम आपको नया पासवर्ड रखने का लिंक ई-मेल करेंगे।",
        ),
        "बदलाव वापस लें",
    ),
    Kind.PASSWORD_CHANGED: Words("आपका पासवर्ड बदल दिया गया", ("आपके खाते का पासवर्ड बदल दिया गया।", _NOT_YOU_HI)),
    Kind.PASSWORD_WAS_RESET: Words(
        "आपका पासवर्ड फिर से रखा गया",
        ("इस पते पर भेजे गए लिंक से आपका पासवर्ड फिर से रखा गया। सभी सत्र समाप्त हो गए हैं।", _NOT_YOU_HI),
    ),
    Kind.TOTP_ON: Words("दो-चरणीय साइन-इन चालू है", ("अब साइन-इन के लिए आपके उपकरण का कोड भी चाहिए।", _NOT_YOU_HI)),
    Kind.TOTP_OFF: Words("दो-चरणीय साइन-इन बंद है", ("अब साइन-इन के लिए केवल पासवर्ड चाहिए।", _NOT_YOU_HI)),
    Kind.RECOVERY_CODE_USED: Words(
        "एक रिकवरी कोड का उपयोग हुआ", ("आपके एक रिकवरी कोड का उपयोग हुआ; वह दोबारा काम नहीं करेगा।", _NOT_YOU_HI)
    ),
    Kind.REFRESH_REUSED: Words(
        "सुरक्षा के लिए एक सत्र समाप्त किया गया",
        ("एक साइन-इन टोकन दो बार उपयोग हुआ, जैसे चुराया हुआ टोकन होता। वह सत्र समाप्त कर दिया गया।", _NOT_YOU_HI),
    ),
}

WORDS: Final[Mapping[str, Mapping[Kind, Words]]] = {"en": _ENGLISH, "hi": _HINDI}


def link(kind: Kind, base: str, token: str) -> str:
    """The URL of the e-mail's link. A token is base64url: it needs no escaping."""
    return f"{base}{PAGES[kind]}?token={token}"


def compose(kind: Kind, locale: str, url: str | None) -> Composed:
    """The e-mail in ``locale``, or in English if it has no texts. ``url`` is its link, if the kind has one."""
    language = locale if locale in WORDS else FALLBACK
    words = WORDS[language][kind]
    text = [*words.paragraphs]
    body = [f"<p>{escape(sentence)}</p>" for sentence in words.paragraphs]
    if url is not None:
        text.insert(1, f"{words.button}:\n{url}")
        body.insert(1, f'<p><a href="{escape(url)}">{escape(words.button)}</a></p><p>{escape(url)}</p>')
    html = (
        f'<!doctype html>\n<html lang="{language}"><body>\n' + "\n".join(body) + "\n<p>Voyagent</p>\n</body></html>\n"
    )
    return Composed(words.subject, "\n\n".join([*text, "Voyagent"]) + "\n", html)
