"""The cities a rehearsal knows by name: their airport or city code (IATA) and country (ISO 3166)."""

from __future__ import annotations

import re
from typing import NamedTuple


class Place(NamedTuple):
    """A city with its name, IATA code and country."""

    name: str
    code: str
    country: str


_CITIES = """
Mumbai BOM IN|Delhi DEL IN|Bengaluru BLR IN|Chennai MAA IN|Kolkata CCU IN|Hyderabad HYD IN|Kochi COK IN|Goa GOI IN
Ahmedabad AMD IN|Pune PNQ IN|Jaipur JAI IN|Lucknow LKO IN|Thiruvananthapuram TRV IN|Amritsar ATQ IN|Kozhikode CCJ IN
Guwahati GAU IN|Srinagar SXR IN|Varanasi VNS IN|Nagpur NAG IN|Indore IDR IN|Karachi KHI PK|Lahore LHE PK
Dubai DXB AE|Abu Dhabi AUH AE|Sharjah SHJ AE|Doha DOH QA|Riyadh RUH SA|Jeddah JED SA|Muscat MCT OM|Kuwait City KWI KW
Islamabad ISB PK|Manama BAH BH|Colombo CMB LK|Kathmandu KTM NP|Dhaka DAC BD|Maldives MLE MV|Mauritius MRU MU
London LHR GB|Manchester MAN GB|Paris CDG FR|Frankfurt FRA DE|Munich MUC DE|Berlin BER DE|Amsterdam AMS NL|Zurich ZRH CH
Vienna VIE AT|Madrid MAD ES|Barcelona BCN ES|Rome FCO IT|Milan MXP IT|Istanbul IST TR|Athens ATH GR|Lisbon LIS PT
Copenhagen CPH DK|Dublin DUB IE|Birmingham BHX GB|Edinburgh EDI GB|Brussels BRU BE|Geneva GVA CH|Venice VCE IT
Hamburg HAM DE|Stockholm ARN SE|Oslo OSL NO|Helsinki HEL FI|Warsaw WAW PL|Prague PRG CZ|Budapest BUD HU|Antalya AYT TR
Dammam DMM SA|Medina MED SA|Amman AMM JO|Beirut BEY LB|Tel Aviv TLV IL|Baku GYD AZ|Tbilisi TBS GE|Tashkent TAS UZ
Almaty ALA KZ|Penang PEN MY|Langkawi LGK MY|Da Nang DAD VN|Cebu CEB PH|Macau MFM MO|Taipei TPE TW|Beijing PEK CN
Shanghai PVG CN|Guangzhou CAN CN|Osaka KIX JP|Busan PUS KR|Casablanca CMN MA|Addis Ababa ADD ET|Lagos LOS NG
Boston BOS US|Washington IAD US|Miami MIA US|Houston IAH US|Dallas DFW US|Seattle SEA US|Montreal YUL CA
Mexico City MEX MX|Brisbane BNE AU|Perth PER AU
Singapore SIN SG|Bangkok BKK TH|Phuket HKT TH|Kuala Lumpur KUL MY|Hong Kong HKG HK
Tokyo NRT JP|Seoul ICN KR|Jakarta CGK ID|Bali DPS ID|Manila MNL PH|Hanoi HAN VN|Ho Chi Minh City SGN VN
New York JFK US|Los Angeles LAX US|San Francisco SFO US|Chicago ORD US|Toronto YYZ CA|Vancouver YVR CA
Sydney SYD AU|Melbourne MEL AU|Auckland AKL NZ|Nairobi NBO KE|Cairo CAI EG|Johannesburg JNB ZA|Cape Town CPT ZA
"""

_ALIASES = {
    "bombay": "BOM",
    "new delhi": "DEL",
    "bangalore": "BLR",
    "madras": "MAA",
    "calcutta": "CCU",
    "cochin": "COK",
    "trivandrum": "TRV",
    "kuwait": "KWI",
    "bahrain": "BAH",
    "malé": "MLE",
    "heathrow": "LHR",
    "saigon": "SGN",
    "denpasar": "DPS",
    "nyc": "JFK",
    "मुंबई": "BOM",
    "दिल्ली": "DEL",
    "दुबई": "DXB",
}


def _places() -> list[Place]:
    lines = (entry.rsplit(" ", 2) for line in _CITIES.strip().splitlines() for entry in line.split("|"))
    return [Place(name, code, country) for name, code, country in lines]


BY_CODE = {place.code: place for place in _places()}
BY_NAME = {place.name.lower(): place for place in BY_CODE.values()} | {
    alias: BY_CODE[code] for alias, code in _ALIASES.items()
}

_NAME = re.compile(
    r"(?<!\w)(?:" + "|".join(sorted(map(re.escape, BY_NAME), key=len, reverse=True)) + r")(?!\w)", re.IGNORECASE
)
_CODE = re.compile(r"\b[A-Z]{3}\b")
_TO = re.compile(r"(?:\bto|\binto|→|->|[-\u2013])\s*(?:the\s+)?$", re.IGNORECASE)
_FROM = re.compile(r"\bfrom\s+(?:the\s+)?$|\bex\s+$", re.IGNORECASE)
_CODE_PAIR = re.compile(r"\b([A-Z]{3})\s*(?:to|→|->|[-\u2013/])\s*([A-Z]{3})\b")


def mentioned(text: str) -> list[tuple[int, Place]]:
    """The places in ``text`` with their positions, in order."""
    named = [(found.start(), BY_NAME[found[0].lower()]) for found in _NAME.finditer(text)]
    coded = [(found.start(), BY_CODE[found[0]]) for found in _CODE.finditer(text) if found[0] in BY_CODE]
    return sorted({*named, *coded})


def route(text: str) -> tuple[Place | None, Place | None]:
    """From where to where, as far as ``text`` says; ``from`` and ``to`` count more than the order."""
    if not mentioned(text) and (pair := _CODE_PAIR.search(text)):
        return Place(pair[1], pair[1], ""), Place(pair[2], pair[2], "")
    origin = destination = None
    loose = []
    for at, place in mentioned(text):
        if _FROM.search(text[:at]):
            origin = origin or place
        elif _TO.search(text[:at]):
            destination = destination or place
        else:
            loose.append(place)
    for place in loose:
        if origin is None and place != destination:
            origin = place
        elif destination is None and place != origin:
            destination = place
    return origin, destination
