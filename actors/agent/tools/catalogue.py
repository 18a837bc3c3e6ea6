"""Every tool there is, by name and by desk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from .book_flight import BookFlight
from .book_hotel import BookHotel
from .cancel_flight_order import CancelFlightOrder
from .cancel_hotel_booking import CancelHotelBooking
from .check_hotel_rate import CheckHotelRate
from .create_invoice import CreateInvoice
from .draft_invoice import DraftInvoice
from .fetch_bsp_statement import FetchBspStatement
from .hold_flight import HoldFlight
from .issue_invoice import IssueInvoice
from .issue_ticket import IssueTicket
from .list_documents import ListBills, ListInvoices
from .list_ledger_accounts import ListLedgerAccounts
from .list_tax_rates import ListTaxRates
from .lookup_passenger import LookupPassenger
from .open_visa_file import OpenVisaFile
from .pay_bill import PayBill
from .post_journal_entry import PostJournalEntry
from .read_account_balance import ReadAccountBalance
from .read_hotel_booking import ReadHotelBooking
from .read_pnr import ReadPnr
from .reconcile_bsp import ReconcileBsp
from .record_bill import RecordBill
from .record_payment import RecordPayment
from .reverse_journal_entry import ReverseJournalEntry
from .search_flights import SearchFlights
from .search_hotels import SearchHotels
from .supplier_tool import GATED
from .tool import Tool
from .update_visa_file import UpdateVisaFile
from .upsert_passenger import UpsertPassenger
from .void_bill import VoidBill
from .void_invoice import VoidInvoice


def catalogue(tools: Iterable[Tool[Any]]) -> Mapping[str, Tool[Any]]:
    """The tools by name, in their order. ValueError for a duplicate name or a gated tool without approvers."""
    known: dict[str, Tool[Any]] = {}
    for tool in tools:
        if tool.name in known:
            raise ValueError(f"two tools are called {tool.name}")
        if isinstance(tool, GATED) and not tool.approvers:
            raise ValueError(f"{tool.name} is gated and has no approvers")
        known[tool.name] = tool
    return known


CATALOGUE = catalogue(
    (
        SearchFlights(),
        SearchHotels(),
        CheckHotelRate(),
        LookupPassenger(),
        ReadPnr(),
        ReadHotelBooking(),
        ListLedgerAccounts(),
        ReadAccountBalance(),
        ListInvoices(),
        ListBills(),
        ListTaxRates(),
        FetchBspStatement(),
        ReconcileBsp(),
        UpsertPassenger(),
        OpenVisaFile(),
        UpdateVisaFile(),
        HoldFlight(),
        BookFlight(),
        IssueTicket(),
        CancelFlightOrder(),
        BookHotel(),
        CancelHotelBooking(),
        DraftInvoice(),
        CreateInvoice(),
        IssueInvoice(),
        VoidInvoice(),
        RecordPayment(),
        RecordBill(),
        PayBill(),
        VoidBill(),
        PostJournalEntry(),
        ReverseJournalEntry(),
    )
)
"""Built at import, so that a service with a gated tool nobody may approve does not start."""


@cache
def for_desk(name: str) -> list[Tool[Any]]:
    """The tools of one desk, in the catalogue's order, so that the model's prompt cache holds."""
    return [tool for tool in CATALOGUE.values() if name in tool.desks]
