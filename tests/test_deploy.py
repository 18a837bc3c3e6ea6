"""What stands in ``deploy/`` starts the service it is written for."""

from __future__ import annotations

import base64
import os
import re
import secrets
from pathlib import Path

from dotenv import dotenv_values

from voyagent.actors.foundation.config import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"

FILLED = {
    "VOYAGENT_AUTH_SECRET": secrets.token_urlsafe(48),
    "VOYAGENT_KMS_KEY": base64.b64encode(os.urandom(32)).decode(),
    "VOYAGENT_SMTP_URL": "smtp://mail.example.com",
    "ANTHROPIC_API_KEY": "a key",
}


def test_the_environment_holds_all_a_production_start_asks_for_but_the_secrets() -> None:
    given = {name: value or "" for name, value in dotenv_values(DEPLOY / "env").items()}
    assert {name for name, value in given.items() if not value} == set(FILLED)
    settings = Settings.load(environ=given | FILLED)
    assert settings.production
    assert (settings.public_url, settings.throttle) == ("https://agency.example.com", "on")


def test_the_unit_gives_a_stop_more_time_than_the_service_takes() -> None:
    unit = (DEPLOY / "voyagent.service").read_text()
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert seconds is not None
    assert int(seconds[1]) >= 30
    assert "\nKillMode=mixed\n" in unit


def test_the_proxy_serves_bare_paths_and_api_and_keeps_metrics_inside() -> None:
    edge = (DEPLOY / "Caddyfile").read_text()
    assert edge.count("reverse_proxy 127.0.0.1:8010") == 2
    assert "handle_path /api/* {" in edge
    assert re.search(r"handle /internal/\* \{\s+respond", edge)
    assert re.search(r"handle /api/internal/\* \{\s+respond", edge)
