"""``GET /reports/receivables`` and ``GET /reports/payables`` over HTTP (business 8.1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from voyagent.actors.domain.books import DraftLine
from voyagent.actors.domain.documents import InvoiceLine
from voyagent.actors.domain.ids import uuid7
from voyagent.actors.domain.money import Money
from voyagent.actors.leased_store import leased_for
from voyagent.storage.books import bills, invoices, payments
from voyagent.storage.general_ledger import DraftJournal, Post

if TYPE_CHECKING:
    from tests.service.conftest import Person, Running

RECEIVABLES, PAYABLES = "/reports/receivables", "/reports/payables"
BUCKETS = ("0-30", "31-60", "61-90", "90+")


@dataclass(frozen=True, slots=True)
class Books:
    """Writes documents into the books of a person's agency, as approved tool calls do."""

    running: Running
    person: Person

    @property
    def common(self) -> dict[str, Any]:
        now = self.running.service.system.clock.now()
        own = {"tenant_id": self.person.user["tenant_id"], "by": self.person.user["id"]}
        return {**own, "key": uuid7(), "session_id": None, "today": now.date(), "now": now}

    async def ask(self, act: Any, kind: type) -> Any:
        system = self.running.service.system
        done = await leased_for(system.storage, system.ownership, act.tenant_id).ask(act)
        assert isinstance(done, kind), done
        return done

    async def invoice(self, amount: str, issued: str, due: str, currency: str = "INR", party: str = "Meridian") -> str:
        """An issued invoice's id."""
        line = InvoiceLine(description="Fare", quantity=Decimal(1), unit_price=Money.of(amount, currency))
        days = {"issue_date": date.fromisoformat(issued), "due_date": date.fromisoformat(due)}
        act = invoices.Create(**self.common, **days, number=None, party_name=party, lines=(line,))
        return str((await self.ask(act, invoices.Issued)).invoice.id)

    async def bill(self, amount: str, issued: str, due: str, currency: str = "INR", party: str = "Indigo") -> str:
        """A received bill's id."""
        days = {"issue_date": date.fromisoformat(issued), "due_date": date.fromisoformat(due)}
        names = {"vendor_name": party, "vendor_reference": uuid7()}
        act = bills.Record(**self.common, **days, **names, amount=Money.of(amount, currency))
        return str((await self.ask(act, bills.Received)).bill.id)

    async def receive(self, invoice_id: str, amount: str, on: str, currency: str = "INR") -> None:
        paid = {"amount": Money.of(amount, currency), "received_on": date.fromisoformat(on), "method": "upi"}
        await self.ask(payments.Receive(**self.common, invoice_id=invoice_id, **paid), payments.Paid)

    async def transfer(self, debit: str, credit: str, amount: str, on: str) -> None:
        """A manual journal between two accounts."""
        common = {name: value for name, value in self.common.items() if name not in ("key", "by", "session_id")}
        sides = ((debit, Decimal(amount), None), (credit, None, Decimal(amount)))
        drafts = tuple(
            DraftLine(account=code, code=None, currency="INR", debit=one, credit=other, memo=None)
            for code, one, other in sides
        )
        entry = DraftJournal(
            **common,
            entry_date=date.fromisoformat(on),
            narration="Given back",
            source_event="manual.journal",
            drafts=drafts,
        )
        await self.ask(Post(tenant_id=common["tenant_id"], draft=entry, key=uuid7(), by=self.person.user["id"]), str)

    async def void(self, invoice_id: str) -> None:
        await self.ask(invoices.Void(**self.common, invoice_id=invoice_id, reason="A mistake"), invoices.Voided)


@pytest.fixture
def books(running: Running, asha: Person) -> Books:
    return Books(running, asha)


async def body(person: Person, path: str, query: str) -> bytes:
    """The bytes of a report."""
    async with person.http.get(f"{person.url}{path}?{query}", headers=person.headers) as response:
        assert response.status == 200, await response.text()
        return await response.read()


def money(amount: str, currency: str = "INR") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


def buckets(report: Any) -> list[tuple[int, str]]:
    assert tuple(each["bucket"] for each in report["aging_buckets"]) == BUCKETS
    return [(each["count"], each["amount"]["amount"]) for each in report["aging_buckets"]]


NONE = (0, "0.00")
AGREED = {"aging_total": "1000.00", "control_account": "1000.00", "difference": "0.00"}


async def test_t1_what_is_not_due_yet_is_in_the_first_bucket_and_the_window_leaves_the_books_alone(
    asha: Person, books: Books
) -> None:
    await books.invoice("1000", "2025-12-01", "2026-01-15")
    report = await asha.get(f"{RECEIVABLES}?from=2025-12-01&to=2025-12-31&as_of=2025-12-30")
    assert report == {
        "tenant_id": asha.user["tenant_id"],
        "period": {"from": "2025-12-01", "to": "2025-12-31"},
        "as_of": "2025-12-30",
        "total_outstanding": money("1000.00"),
        "aging_buckets": [
            {"bucket": name, "count": int(name == "0-30"), "amount": money("1000.00" if name == "0-30" else "0.00")}
            for name in BUCKETS
        ],
        "not_due": money("1000.00"),
        "top_debtors": [{"name": "Meridian", "amount": money("1000.00")}],
        "top_creditors": [],
        "reconciliation": AGREED,
        "other_currencies": [],
    }
    outside = await asha.get(f"{RECEIVABLES}?from=2026-01-01&to=2026-01-01&as_of=2025-12-30")
    assert (outside["total_outstanding"], buckets(outside)) == (money("0.00"), [NONE] * 4)
    assert (outside["top_debtors"], outside["reconciliation"]) == ([], AGREED)


@pytest.mark.parametrize(
    ("age", "bucket", "not_due"),
    [
        (0, 0, "5.00"),
        (1, 0, "0.00"),
        (30, 0, "0.00"),
        (31, 1, "0.00"),
        (60, 1, "0.00"),
        (61, 2, "0.00"),
        (90, 2, "0.00"),
        (91, 3, "0.00"),
    ],
)
async def test_t1_edges_of_the_buckets(age: int, bucket: int, not_due: str, asha: Person, books: Books) -> None:
    await books.bill("5", "2025-11-01", "2025-12-01")
    as_of = date(2025, 12, 1) + timedelta(days=age)
    report = await asha.get(f"{PAYABLES}?from=2025-11-01&to=2025-11-01&as_of={as_of}")
    assert buckets(report) == [(1, "5.00") if place == bucket else NONE for place in range(4)]
    assert (report["not_due"]["amount"], report["top_debtors"]) == (not_due, [])
    assert report["top_creditors"] == [{"name": "Indigo", "amount": money("5.00")}]


async def test_t2_b47_a_past_days_report_stays_when_people_pay(asha: Person, books: Books) -> None:
    first = await books.invoice("110250", "2026-04-10", "2026-05-10")
    await books.invoice("525", "2026-05-01", "2026-05-31", party="Acme")
    window = "from=2026-04-01&to=2026-05-15"
    before = await body(asha, RECEIVABLES, f"{window}&as_of=2026-05-15")
    report = await asha.get(f"{RECEIVABLES}?{window}&as_of=2026-05-15")
    assert report["total_outstanding"] == money("110775.00")
    assert (buckets(report)[0], report["not_due"]["amount"]) == ((2, "110775.00"), "525.00")
    await books.receive(first, "110250", "2026-06-10")
    later = await asha.get(f"{RECEIVABLES}?{window}&as_of=2026-06-30")
    assert (later["total_outstanding"], buckets(later)[0]) == (money("525.00"), (1, "525.00"))
    assert (later["not_due"]["amount"], later["top_debtors"][0]["name"]) == ("0.00", "Acme")
    assert await body(asha, RECEIVABLES, f"{window}&as_of=2026-05-15") == before


async def test_b47_part_payments_and_voids_count_from_their_day_on(asha: Person, books: Books) -> None:
    paid, void = [await books.invoice("100", "2026-04-10", "2026-05-10") for _ in range(2)]
    query = "from=2026-04-01&to=2026-04-30&as_of=2026-05-10"
    before = await body(asha, RECEIVABLES, query)
    await books.receive(paid, "40", "2026-05-11")
    await books.void(void)
    assert await body(asha, RECEIVABLES, query) == before
    after = await asha.get(f"{RECEIVABLES}?{query.replace('05-10', '05-11')}")
    assert after["total_outstanding"] == money("160.00")
    today = await asha.get(f"{RECEIVABLES}?from=2026-04-01&to=2026-04-30")
    assert today["total_outstanding"] == money("60.00")
    assert today["reconciliation"] == {"aging_total": "60.00", "control_account": "60.00", "difference": "0.00"}


async def test_b46_currencies_stand_apart_and_the_header_follows_the_rule(asha: Person, books: Books) -> None:
    window = "from=2026-04-01&to=2026-04-30&as_of=2026-05-31"
    for amount, currency in (("5", "USD"), ("1.001", "KWD"), ("1240", "JPY"), ("7", "USD")):
        await books.invoice(amount, "2026-04-10", "2026-05-10", currency)
    report = await asha.get(f"{RECEIVABLES}?{window}")
    assert report["total_outstanding"] == money("12.00", "USD"), "most documents"
    assert [each["total_outstanding"] for each in report["other_currencies"]] == [
        money("1240.00", "JPY"),
        money("1.001", "KWD"),
    ]
    assert {each["reconciliation"]["difference"] for each in report["other_currencies"]} == {"0.00", "0.000"}
    await books.invoice("1", "2026-04-10", "2026-05-10")
    report = await asha.get(f"{RECEIVABLES}?{window}")
    assert report["total_outstanding"] == money("1.00"), "the default currency"
    assert [each["currency"] for each in report["other_currencies"]] == ["JPY", "KWD", "USD"]
    assert await asha.get(f"{RECEIVABLES}?{window}") == report


async def test_the_five_largest_parties_are_listed_ties_by_name(asha: Person, books: Books) -> None:
    for party, amount in (("f", "1"), ("e", "3"), ("b", "2"), ("a", "2"), ("c", "9"), ("d", "4"), ("e", "3")):
        await books.invoice(amount, "2026-04-10", "2026-05-10", party=party)
    report = await asha.get(f"{RECEIVABLES}?from=2026-04-01&to=2026-04-30")
    largest = [(each["name"], each["amount"]["amount"]) for each in report["top_debtors"]]
    assert largest == [("c", "9.00"), ("e", "6.00"), ("d", "4.00"), ("a", "2.00"), ("b", "2.00")]


async def test_b48_the_trial_balance_reconciles_both_control_accounts_in_each_currency(
    asha: Person, books: Books
) -> None:
    part = await books.invoice("100", "2026-04-10", "2026-05-10")
    await books.receive(part, "40", "2026-05-01")
    await books.bill("7.5", "2026-04-12", "2026-05-12", "USD")

    async def reconciled(as_of: str) -> list[tuple[str, str, str]]:
        report = await asha.get(f"/reports/trial-balance?as_of={as_of}")
        assert all(each[side]["difference"] == "0.00" for each in report["reconciliation"] for side in SIDES)
        assert all(
            each[side]["aging_total"] == each[side]["control_account"]
            for each in report["reconciliation"]
            for side in SIDES
        )
        return [(each["currency"], *(each[side]["aging_total"] for side in SIDES)) for each in report["reconciliation"]]

    assert await reconciled("2026-04-09") == [("INR", "0.00", "0.00")]
    assert await reconciled("2026-04-30") == [("INR", "100.00", "0.00"), ("USD", "0.00", "7.50")]
    assert await reconciled("2026-05-01") == [("INR", "60.00", "0.00"), ("USD", "0.00", "7.50")]


SIDES = ("receivables", "payables")


async def test_t14_money_given_back_by_a_journal_leaves_the_aging_as_it_is(asha: Person, books: Books) -> None:
    paid = await books.invoice("10000", "2026-04-10", "2026-05-10")
    await books.receive(paid, "10000", "2026-04-20")
    await books.transfer("4200", "1000", "8000", "2026-05-02")
    report = await asha.get(f"{RECEIVABLES}?from=2026-04-01&to=2026-04-30&as_of=2026-05-02")
    assert (report["total_outstanding"], set(report["reconciliation"].values())) == (money("0.00"), {"0.00"})
    balances = {each["code"]: each["balance"] for each in (await asha.get("/reports/trial-balance"))["accounts"]}
    assert (balances["4200"], balances["1000"], balances["1100"]) == ("-2000.00", "2000.00", "0.00")


@pytest.mark.parametrize("path", [RECEIVABLES, PAYABLES])
async def test_an_agency_without_documents_has_zeros(path: str, asha: Person) -> None:
    report = await asha.get(f"{path}?from=2026-04-01&to=2026-04-30")
    assert (report["total_outstanding"], buckets(report)) == (money("0.00"), [NONE] * 4)
    assert set(report["reconciliation"].values()) == {"0.00"}
    assert (report["top_debtors"], report["top_creditors"], report["other_currencies"]) == ([], [], [])


@pytest.mark.parametrize("path", [RECEIVABLES, PAYABLES])
async def test_what_a_report_refuses(path: str, asha: Person) -> None:
    for query, name in (("to=2026-01-01", "from"), ("from=2026-01-01", "to"), ("from=2026-01-01&to=x", "to")):
        status, answer = await asha.call("GET", f"{path}?{query}")
        assert (status, answer["detail"][0]["loc"]) == (422, ["query", name])
    turned = f"{path}?from=2026-01-02&to=2026-01-01"
    assert await asha.call("GET", turned) == (422, {"detail": "from must be on or before to"})
    ahead = (datetime.now().astimezone() + timedelta(days=3)).date()
    assert await asha.call("GET", f"{path}?from=2026-01-01&to=2026-01-01&as_of={ahead}") == (
        422,
        {"detail": "as_of_in_future"},
    )


async def test_b61_every_role_reads_its_own_agency_alone(
    asha: Person, running: Running, member: Any, books: Books
) -> None:
    await books.invoice("5", "2026-04-10", "2026-05-10")
    path = f"{RECEIVABLES}?from=2026-04-01&to=2026-04-30"
    expected = await asha.get(path)
    for role in ("accounting_lead", "agent", "viewer"):
        assert await (await member(asha, role)).get(path) == expected
    other = await (await running.sign_up()).get(path)
    assert other["total_outstanding"] == money("0.00")


async def test_the_documents_behind_a_figure_are_listed_those_due_first_in_front(asha: Person, books: Books) -> None:
    late = await books.invoice("100", "2026-04-10", "2026-05-10", party="Khan")
    await books.receive(late, "40", "2026-05-01")
    await books.invoice("7", "2026-04-10", "2026-09-10")
    await books.invoice("9", "2026-04-10", "2026-05-10", "USD")
    window = "from=2026-04-01&to=2026-04-30&as_of=2026-07-01"
    found = await asha.get(f"{RECEIVABLES}/invoices?{window}&currency=INR")
    assert [found[name] for name in ("total", "limit", "offset")] == [2, 50, 0]
    first, second = found["items"]
    assert {**first, "number": "", "id": ""} == {
        "id": "",
        "number": "",
        "reference": None,
        "party_name": "Khan",
        "issue_date": "2026-04-10",
        "due_date": "2026-05-10",
        "age": 52,
        "bucket": "31-60",
        "total": money("100.00"),
        "outstanding": money("60.00"),
        "session_id": None,
    }
    assert (first["id"], second["age"], second["bucket"]) == (late, -71, "0-30")
    one = await asha.get(f"{RECEIVABLES}/invoices?{window}&bucket=31-60&party=Khan&limit=1")
    assert one["items"] == [first]
    assert (await asha.get(f"{RECEIVABLES}/invoices?{window}&bucket=90%2B"))["items"] == []


async def test_a_bill_is_listed_with_the_reference_of_its_vendor(asha: Person, books: Books) -> None:
    bill = await books.bill("5", "2026-04-10", "2026-05-10")
    found = await asha.get(f"{PAYABLES}/bills?from=2026-04-01&to=2026-04-30")
    assert [each["id"] for each in found["items"]] == [bill]
    assert found["items"][0]["reference"]


@pytest.mark.parametrize("path", [f"{RECEIVABLES}/invoices", f"{PAYABLES}/bills"])
async def test_what_a_list_of_documents_refuses(path: str, asha: Person, running: Running) -> None:
    ever = "from=2026-01-01&to=2026-12-31"
    for query, name in (("to=2026-01-01", "from"), (f"{ever}&bucket=0-29", "bucket"), (f"{ever}&limit=0", "limit")):
        status, answer = await asha.call("GET", f"{path}?{query}")
        assert (status, answer["detail"][0]["loc"]) == (422, ["query", name])
    turned = f"{path}?from=2026-01-02&to=2026-01-01"
    assert await asha.call("GET", turned) == (422, {"detail": "from must be on or before to"})
    assert (await (await running.sign_up()).get(f"{path}?{ever}"))["items"] == []
