"""The scripts are checked by TypeScript: their comments say what is handed to whom."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.http.browser.conftest import TOOLS, absent
from voyagent.http.console.console import FOLDER

pytestmark = pytest.mark.browser
OPTIONS = {
    "allowJs": True,
    "checkJs": True,
    "strict": True,
    "noEmit": True,
    "target": "ES2022",
    "module": "ES2022",
    "moduleResolution": "bundler",
    "lib": ["ESNext", "DOM", "DOM.Iterable"],
    "types": [],
}


def test_the_scripts_have_no_type_error(tmp_path: Path) -> None:
    compiler = TOOLS / ".bin" / "tsc"
    if not compiler.exists() or shutil.which("node") is None:
        absent("there is no TypeScript: make browser installs it, for which it needs npm")
    asked = tmp_path / "tsconfig.json"
    asked.write_text(json.dumps({"compilerOptions": OPTIONS, "include": [f"{FOLDER}/**/*.js"]}))
    found = subprocess.run([compiler, "--project", asked], capture_output=True, text=True, check=False)
    assert found.stdout == ""
