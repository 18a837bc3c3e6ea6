"""The words of every letter the service writes, in English and Hindi, and the page its link opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import Final

FALLBACK: Final = "en"


class Kind(StrEnum):
    """What a letter is about."""

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
"""Where the link of a letter leads; letters that are not here only tell."""


@dataclass(frozen=True, slots=True)
class Words:
    """Subject, what is said, and what the link's button says."""

    subject: str
    says: tuple[str, ...]
    button: str = ""


@dataclass(frozen=True, slots=True)
class Composed:
    """A letter ready to be put in an envelope."""

    subject: str
    text: str
    html: str


_NOT_YOU: Final = "If this was not you, reset your password now and tell the administrator of your agency."
_NOT_YOU_HI: Final = "यदि यह आपने नहीं किया, तो तुरंत अपना पासवर्ड बदलें और अपनी एजेंसी के व्यवस्थापक को बताएँ।"

_ENGLISH: Final[Mapping[Kind, Words]] = {
    Kind.VERIFICATION: Words(
        "Confirm your e-mail address",
        (
            "Please confirm that this address is yours.",
            "If you did not ask for this, do nothing: nobody can use the address without you.",
        ),
        "Confirm the address",
    ),
    Kind.PASSWORD_RESET: Words(
        "Set a new password",
        (
            "Somebody asked for a new password for this address. The link works once, and only for a short time.",
            "If it was not you, do nothing: your password stays as it is.",
        ),
        "Set a new password",
    ),
    Kind.INVITE: Words(
        "You are invited to Voyagent",
        ("A travel agency invites you to work with it on Voyagent. The link shows who it is.",),
        "See the invitation",
    ),
    Kind.EMAIL_CHANGED: Words(
        "Your e-mail address was changed",
        (
            "Your account no longer uses this address.",
            "If this was not you, undo it within 7 days: the account returns to this address and all sessions end.",
            "You then get a letter to set a new password.",
        ),
        "Undo the change",
    ),
    Kind.PASSWORD_CHANGED: Words("Your password was changed", ("The password of your account was changed.", _NOT_YOU)),
    Kind.PASSWORD_WAS_RESET: Words(
        "Your password was reset",
        ("A new password was set through a letter to this address. All sessions have ended.", _NOT_YOU),
    ),
    Kind.TOTP_ON: Words("Two-factor sign-in is on", ("From now on a sign-in needs a code from your device.", _NOT_YOU)),
    Kind.TOTP_OFF: Words("Two-factor sign-in is off", ("A sign-in needs the password alone now.", _NOT_YOU)),
    Kind.RECOVERY_CODE_USED: Words(
        "A recovery code was used", ("One of your recovery codes was used; it does not work again.", _NOT_YOU)
    ),
    Kind.REFRESH_REUSED: Words(
        "A session was ended for safety",
        ("A sign-in token was used twice, as a stolen one would be. The session was ended.", _NOT_YOU),
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
            "फिर नया पासवर्ड रखने का पत्र आपको मिलेगा।",
        ),
        "बदलाव वापस लें",
    ),
    Kind.PASSWORD_CHANGED: Words("आपका पासवर्ड बदल दिया गया", ("आपके खाते का पासवर्ड बदल दिया गया।", _NOT_YOU_HI)),
    Kind.PASSWORD_WAS_RESET: Words(
        "आपका पासवर्ड फिर से रखा गया",
        ("इस पते पर भेजे गए पत्र से नया पासवर्ड रखा गया। सभी सत्र समाप्त हो गए हैं।", _NOT_YOU_HI),
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
    """Where the letter's button leads. A token is base64url: it needs no escaping."""
    return f"{base}{PAGES[kind]}?token={token}"


def compose(kind: Kind, locale: str, url: str | None) -> Composed:
    """The letter in ``locale``, or in English where no text exists. ``url`` is its link, if the kind has one."""
    language = locale if locale in WORDS else FALLBACK
    words = WORDS[language][kind]
    text = [*words.says]
    body = [f"<p>{escape(sentence)}</p>" for sentence in words.says]
    if url is not None:
        text.insert(1, f"{words.button}:\n{url}")
        body.insert(1, f'<p><a href="{escape(url)}">{escape(words.button)}</a></p><p>{escape(url)}</p>')
    html = (
        f'<!doctype html>\n<html lang="{language}"><body>\n' + "\n".join(body) + "\n<p>Voyagent</p>\n</body></html>\n"
    )
    return Composed(words.subject, "\n\n".join([*text, "Voyagent"]) + "\n", html)
