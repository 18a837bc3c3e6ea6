"""Reads files for TallyPrime with an XML parser of its own, and adds up what they say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from xml.etree import ElementTree as ET

from voyagent.actors.runtime.ref import Ref
from voyagent.http import tally_export
from voyagent.storage.vouchers import Begin, Extent

JOURNALS = """
WITH account AS (SELECT min(id::text) FILTER (WHERE code = '1000')::uuid AS cash,
                        min(id::text) FILTER (WHERE code = '3000')::uuid AS equity
                   FROM ledger_accounts WHERE tenant_id = $1),
journal AS (
    INSERT INTO journals (id, tenant_id, entry_date, narration, source_event, line_count, idempotency_key, posted_at)
    SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, $1, '2026-04-01'::date + n % $3::int,
           repeat('a', 200), 'manual.journal', 2, 'fill ' || n, now()
      FROM generate_series(1, $2::int) AS n RETURNING id)
INSERT INTO journal_lines (tenant_id, journal_id, line_no, account_id, currency, debit, credit)
SELECT $1, journal.id, place, CASE place WHEN 1 THEN cash ELSE equity END, 'INR',
       CASE place WHEN 1 THEN 5 END, CASE place WHEN 2 THEN 5 END
  FROM journal, account, generate_series(1, 2) AS place
"""
"""Adds $2 journals by hand to the books of an agency, over $3 days of April 2026."""


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A ledger entry: its amount as it is written, and its bill (name, type, amount) if it has one."""

    ledger: str
    is_debit: bool
    amount: str
    is_party: bool = False
    memo: str | None = None
    bill: tuple[str | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class ReadVoucher:
    """A voucher: its elements by name, its attributes, its entries."""

    attributes: dict[str, str]
    fields: dict[str, str]
    lines: list[ReadLine] = field(default_factory=list)

    @property
    def balance(self) -> Decimal:
        return sum((Decimal(line.amount) for line in self.lines), Decimal(0))


@dataclass(frozen=True, slots=True)
class ReadLedger:
    """A master."""

    name: str
    group: str | None
    bill_by_bill: bool


def messages(text: bytes, report: str) -> list[ET.Element]:
    """What the file imports; its frame is checked."""
    text.decode("ascii")
    root = ET.fromstring(text)  # what the service has just written
    assert root.tag == "ENVELOPE"
    assert root.findtext("HEADER/TALLYREQUEST") == "Import Data"
    assert root.findtext("BODY/IMPORTDATA/REQUESTDESC/REPORTNAME") == report
    data = root.find("BODY/IMPORTDATA/REQUESTDATA")
    assert data is not None
    assert {each.tag for each in data} <= {"TALLYMESSAGE"}
    return [each for message in data for each in message]


def read_vouchers(text: bytes) -> list[ReadVoucher]:
    return [_voucher(each) for each in messages(text, "Vouchers")]


def read_ledgers(text: bytes) -> list[ReadLedger]:
    found = []
    for each in messages(text, "All Masters"):
        assert (each.tag, each.get("ACTION")) == ("LEDGER", "Create")
        name = each.get("NAME", "")
        assert [other.text for other in each.iterfind("NAME.LIST/NAME")] == [name]
        found.append(ReadLedger(name, each.findtext("PARENT"), each.findtext("ISBILLWISEON") == "Yes"))
    return found


def _voucher(element: ET.Element) -> ReadVoucher:
    assert element.tag == "VOUCHER"
    fields = {each.tag: each.text or "" for each in element if len(each) == 0}
    lines = [_line(each) for each in element.iterfind("ALLLEDGERENTRIES.LIST")]
    return ReadVoucher(dict(element.attrib), fields, lines)


def _line(element: ET.Element) -> ReadLine:
    bill = element.find("BILLALLOCATIONS.LIST")
    words = ("NAME", "BILLTYPE", "AMOUNT", "BILLCREDITPERIOD")
    return ReadLine(
        ledger=element.findtext("LEDGERNAME", ""),
        is_debit=element.findtext("ISDEEMEDPOSITIVE") == "Yes",
        amount=element.findtext("AMOUNT", ""),
        is_party=element.findtext("ISPARTYLEDGER") == "Yes",
        memo=element.findtext("NARRATION"),
        bill=None if bill is None else tuple(bill.findtext(word) for word in words),
    )


def sums(found: list[ReadVoucher]) -> dict[str, tuple[Decimal, Decimal]]:
    """Debits and credits of each ledger."""
    added: defaultdict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for voucher in found:
        for line in voucher.lines:
            amount = Decimal(line.amount)
            assert (amount < 0) == line.is_debit
            added[line.ledger][0 if line.is_debit else 1] += abs(amount)
    return {ledger: (debit, credit) for ledger, (debit, credit) in added.items()}


class Files(NamedTuple):
    """What the two downloads of some days have."""

    ledgers: bytes
    vouchers: bytes

    @property
    def read(self) -> list[ReadVoucher]:
        return read_vouchers(self.vouchers)


async def begun(store: Ref, tenant_id: str, first: date, last: date, currency: str = "INR") -> Extent:
    extent: Extent = await store.ask(Begin(tenant_id=tenant_id, first=first, last=last, currency=currency))
    return extent


async def exported(store: Ref, tenant_id: str, first: date, last: date, currency: str = "INR") -> Files:
    extent = await begun(store, tenant_id, first, last, currency)
    return Files(
        b"".join([piece async for piece in tally_export.masters(store, tenant_id, extent)]),
        b"".join([piece async for piece in tally_export.vouchers(store, tenant_id, extent)]),
    )


def account_codes(files: Files) -> dict[str, str]:
    """The account each ledger of the masters belongs to, by the name in lower case, in which Tally knows it once."""
    groups = {"Sundry Debtors": "1100", "Sundry Creditors": "2000"}
    found: dict[str, str] = {}
    for ledger in read_ledgers(files.ledgers):
        code = groups.get(ledger.group or "") or ledger.name.rpartition("(")[2].rstrip(")")
        assert ledger.bill_by_bill == (ledger.group in groups)
        assert ledger.name.lower() not in found, f"{ledger.name} is there twice"
        found[ledger.name.lower()] = code
    return found


def by_account(files: Files) -> dict[str, tuple[Decimal, Decimal]]:
    """Debits and credits of each account. Every ledger that a voucher names is among the masters."""
    codes = account_codes(files)
    added: dict[str, tuple[Decimal, Decimal]] = {}
    for ledger, (debit, credit) in sums(files.read).items():
        before = added.get(codes[ledger.lower()], (Decimal(0), Decimal(0)))
        added[codes[ledger.lower()]] = (before[0] + debit, before[1] + credit)
    return added
