"""Reads the console's tables of texts, which have one text a line, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

from voyagent.http.console.console import FOLDER

_OPEN = re.compile(r'\s*(?:"([^"]+)"|(\w+)): \{')
_TEXT = re.compile(r'\s*(?:"([^"]+)"|(\w+)): (".*"),')
_FORMS = re.compile(r'\s*(?:"([^"]+)"|(\w+)): \{ (.+) \},')
_FORM = re.compile(r'(\w+): ("(?:[^"\\]|\\.)*")')


def table(path: Path) -> dict[str, str]:
    """Key, such as ``ui.save`` or ``ui.found.one`` -> text. A line that is neither text nor section is an error."""
    texts: dict[str, str] = {}
    sections: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("//") or line in {"", "export default {", "};"}:
            continue
        if forms := _FORMS.fullmatch(line):
            key = ".".join([*sections, forms[1] or forms[2]])
            texts |= {f"{key}.{form}": text for form, text in _FORM.findall(forms[3])}
        elif text := _TEXT.fullmatch(line):
            key = ".".join([*sections, text[1] or text[2]])
            assert key not in texts, f"{key} is there twice"
            texts[key] = text[3]
        elif opened := _OPEN.fullmatch(line):
            sections.append(opened[1] or opened[2])
        else:
            assert line.strip() == "},", f"{path.name}: {line}"
            sections.pop()
    return texts


ENGLISH = table(FOLDER / "texts" / "en.js")
HINDI = table(FOLDER / "texts" / "hi.js")
SCRIPTS = {path.relative_to(FOLDER).as_posix(): path.read_text("utf-8") for path in sorted(FOLDER.rglob("*.js"))}
