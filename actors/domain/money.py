"""Money: an exact amount of one currency. Currencies are never added together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

WHOLE_DIGITS = 18
DECIMALS = 10
"""The most digits an amount may have on either side of its point; sums of any real number of them stay exact."""

STORED_WHOLE, STORED_DECIMALS = 14, 4
"""What a column of money holds (NUMERIC(18,4))."""

REPORTED_DECIMALS = 2
"""The fewest decimals of an amount in a report, for currencies without a minor unit, too."""

_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])
# fmt: off
_WHOLE = frozenset(
    {
        "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG",
        "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF",
    }
)
# fmt: on
_THOUSANDTHS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
"""ISO 4217's own minor units; all other money has hundredths. The CLDR's are not these: it counts the coins in use."""

_PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
"""A decimal as people write it; the words are let through so that they are refused as what they are, not finite."""


def is_plain(text: str) -> bool:
    """Whether a text is a decimal in plain digits, or a word for none that is finite."""
    return _PLAIN.fullmatch(text) is not None


def _no_float(value: Any) -> Any:
    if isinstance(value, float | bool):
        raise ValueError("an amount is an integer, a string or a Decimal, never a float")  # noqa: TRY004  # pydantic's
    if isinstance(value, str) and not is_plain(value):
        raise ValueError("an amount is written in plain digits")
    return value


def _bounded(amount: Decimal) -> Decimal:
    if amount.adjusted() >= WHOLE_DIGITS or -_exponent(amount) > DECIMALS:
        raise ValueError(f"an amount has at most {WHOLE_DIGITS} digits and {DECIMALS} decimals")
    return amount


_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"}]}
"""What ``GET /schemas/money`` says of an amount."""


def _exponent(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError("an amount is a finite number")  # noqa: TRY004  # pydantic's
    return exponent


class Money(BaseModel):
    """A decimal amount, which may be negative, in one ISO 4217 currency. JSON floats are refused as inexact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Annotated[Decimal, BeforeValidator(_no_float), AfterValidator(_bounded), WithJsonSchema(_SCHEMA)] = Field(
        title="Amount", description="A decimal: an integer or a numeric string, never a float."
    )
    currency: str = Field(
        min_length=3, max_length=3, pattern="^[A-Z]{3}$", description="The ISO 4217 code, in upper case."
    )

    @classmethod
    def of(cls, amount: Decimal | int | str, currency: str) -> Money:
        """``amount`` of ``currency``; pydantic's ValidationError if either is none."""
        return cls(amount=amount, currency=currency)  # type: ignore[arg-type]  # the validators take all three

    @classmethod
    def read(cls, text: str) -> Money:
        """The inverse of ``text``: ``"INR 45200.00"``. ValueError if it is not of that form."""
        currency, blank, amount = text.partition(" ")
        if not blank:
            raise ValueError("money is written as a currency, a blank and an amount")
        return cls.of(amount, currency)

    @property
    def text(self) -> str:
        """``"INR 45200.00"``: currency, blank, amount with its minor unit's decimals, more only if it has more."""
        if self.in_minor_units:
            return f"{self.currency} {self.rounded().amount:f}"
        return f"{self.currency} {self.amount.normalize(_EXACT):f}"

    def __add__(self, other: Money) -> Money:
        return Money(amount=_EXACT.add(self.amount, self._same(other)), currency=self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(amount=_EXACT.subtract(self.amount, self._same(other)), currency=self.currency)

    def __neg__(self) -> Money:
        return Money(amount=self.amount.copy_negate(), currency=self.currency)

    def times(self, factor: Decimal | int) -> Money:
        """The amount ``factor`` times, exact."""
        return Money(amount=_EXACT.multiply(self.amount, Decimal(factor)), currency=self.currency)

    def rounded(self) -> Money:
        """To the currency's minor unit, halves away from zero."""
        step = _step(self.currency)
        return Money(amount=self.amount.quantize(step, ROUND_HALF_UP, Context(prec=100)), currency=self.currency)

    @property
    def in_minor_units(self) -> bool:
        """Whether the amount has no more decimals than its currency has."""
        return self.amount == self.rounded().amount

    @property
    def is_price(self) -> bool:
        """Whether something can be bought for it and written down: not negative, and stored as it is."""
        return 0 <= self.amount < 10**STORED_WHOLE and -_exponent(self.amount.normalize(_EXACT)) <= STORED_DECIMALS

    def _same(self, other: Money) -> Decimal:
        if other.currency != self.currency:
            raise CurrencyMismatch(self.currency, other.currency)
        return other.amount


class CurrencyMismatch(ValueError):
    """Two currencies met in one sum."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other} cannot be added")


def minor_digits(currency: str) -> int:
    """How many decimals the currency's minor unit has by ISO 4217: 0, 2 or 3."""
    if currency in _WHOLE:
        return 0
    return 3 if currency in _THOUSANDTHS else 2


def reported(amount: Decimal, currency: str) -> str:
    """An amount as reports write it: exact, with two decimals at least and all those of the minor unit."""
    places = max(REPORTED_DECIMALS, minor_digits(currency))
    exact = amount.normalize(_EXACT)
    return f"{exact:.{places}f}" if -_exponent(exact) <= places else f"{exact:f}"


def totals(amounts: Iterable[Money]) -> dict[str, Money]:
    """The sum of each currency by itself."""
    sums: dict[str, Money] = {}
    for each in amounts:
        sums[each.currency] = sums[each.currency] + each if each.currency in sums else each
    return sums


def _step(currency: str) -> Decimal:
    return Decimal(1).scaleb(-minor_digits(currency))
