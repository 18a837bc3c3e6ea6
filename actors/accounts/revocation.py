"""Applies revocations immediately: evicts cached principals and closes their streams."""

from __future__ import annotations

from collections.abc import Callable

from ..domain.identity import Principal
from .access_watch import AccessWatches
from .principals import Principals

RunSoon = Callable[[Callable[[], None]], None]


class Revocation:
    """Revokes token families, API keys and single tokens by id, in the cache and on open streams.

    Tasks of the accounts actor call it. It sends the actor a message, which is handled before any request sent after
    that task's reply.
    """

    def __init__(self, principals: Principals, watches: AccessWatches, run_soon: RunSoon) -> None:
        """``run_soon`` is the actor's."""
        self._principals = principals
        self._watches = watches
        self._run_soon = run_soon

    def invalidate(self, *credential_ids: str) -> None:
        """Evict credentials that may have changed. A superfluous read is harmless."""
        self._run_soon(lambda: self._principals.forget(lambda key: key.credential_id in credential_ids))

    def revoke(self, *credential_ids: str) -> None:
        """Evict revoked credentials and close their streams."""
        self.invalidate(*credential_ids)
        self._revoke(
            lambda caller: not {caller.family_id, caller.token_id, caller.api_key_id}.isdisjoint(credential_ids)
        )

    def invalidate_user(self, user_id: str) -> None:
        """Evict all cached principals of a user."""
        self._run_soon(lambda: self._principals.forget(lambda key: key.user_id == user_id))

    def revoke_user(self, user_id: str) -> None:
        """Evict a user's principals and close their streams."""
        self.invalidate_user(user_id)
        self._revoke(lambda caller: caller.user_id == user_id)

    def _revoke(self, matches: Callable[[Principal], bool]) -> None:
        self._run_soon(lambda: self._watches.revoke(matches))
