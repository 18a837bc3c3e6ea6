"""One table from refusal to status."""

from __future__ import annotations

import pytest

from voyagent.actors.domain import errors
from voyagent.actors.domain.errors import Refusal
from voyagent.actors.runtime.actor import ActorDead, DeadlineExceeded, MailboxFull
from voyagent.http.errors import Invalid, status_of

REFUSALS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Refusal)]


@pytest.mark.parametrize("kind", [kind for kind in REFUSALS if kind is not Refusal], ids=lambda kind: kind.__name__)
def test_every_declared_refusal_has_a_status(kind: type[Refusal]) -> None:
    assert 400 <= status_of(kind("code")) < 600


@pytest.mark.parametrize(
    ("refusal", "status"),
    [(MailboxFull(), 503), (DeadlineExceeded(), 503), (ActorDead(), 503), (Invalid([]), 422)],
    ids=lambda value: type(value).__name__,
)
def test_refusals_of_the_runtime_are_what_they_derive_from(refusal: Refusal, status: int) -> None:
    assert status_of(refusal) == status


def test_a_refusal_of_no_known_class_is_a_defect() -> None:
    with pytest.raises(KeyError):
        status_of(Refusal("unheard_of"))
