"""What ended bites at once: nothing remembered of it is used again, and its streams close."""

from __future__ import annotations

from .access_watch import AccessWatches
from .principals import Principals


class Revocation:
    """Tells the cache and the streams of families, keys and single tokens, each by its id."""

    def __init__(self, principals: Principals, watches: AccessWatches) -> None:
        self._principals = principals
        self._watches = watches

    def invalidate(self, *credential_ids: str) -> None:
        """These may have changed: read them again. Once too often is the harmless mistake."""
        self._principals.forget(lambda key: key.credential_id in credential_ids)

    def revoke(self, *credential_ids: str) -> None:
        """These have ended."""
        self.invalidate(*credential_ids)
        self._watches.revoke(
            lambda caller: not {caller.family_id, caller.token_id, caller.api_key_id}.isdisjoint(credential_ids)
        )

    def invalidate_user(self, user_id: str) -> None:
        """All that is remembered of a person may have changed."""
        self._principals.forget(lambda key: key.user_id == user_id)

    def revoke_user(self, user_id: str) -> None:
        """All that a person had open has ended."""
        self.invalidate_user(user_id)
        self._watches.revoke(lambda caller: caller.user_id == user_id)
