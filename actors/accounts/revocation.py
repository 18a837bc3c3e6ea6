"""What ended bites at once: nothing remembered of it is used again, and its streams close."""

from __future__ import annotations

from .access_watch import AccessWatches
from .principals import Principals


class Revocation:
    """Tells the cache and the streams of families, keys and single tokens, each by its id."""

    def __init__(self, principals: Principals, watches: AccessWatches) -> None:
        self._principals = principals
        self._watches = watches

    def doubt(self, *proofs: str) -> None:
        """These may have changed: read them again. Once too often is the harmless mistake."""
        self._principals.forget(lambda key: key.proof in proofs)

    def ended(self, *proofs: str) -> None:
        """These have ended."""
        self.doubt(*proofs)
        self._watches.lose(lambda who: not {who.family_id, who.token_id, who.api_key_id}.isdisjoint(proofs))

    def doubt_person(self, user_id: str) -> None:
        """All that is remembered of a person may have changed."""
        self._principals.forget(lambda key: key.user_id == user_id)

    def ended_person(self, user_id: str) -> None:
        """All that a person had open has ended."""
        self.doubt_person(user_id)
        self._watches.lose(lambda who: who.user_id == user_id)
