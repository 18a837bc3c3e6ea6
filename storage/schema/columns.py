"""What the declarations of tables are made of, and the rules they share.

Columns, keys, checks and indexes are declared; row-level security, triggers and grants are the migrations' part.

An ``id`` is unique everywhere; a table others point at carries ``(tenant_id, id)`` as well,
because foreign keys ignore row-level security: only a composite one cannot reach into another agency. Indexes begin
with ``tenant_id``, save those that system work needs. A state is text with a check, never an enum, and a normalised
value has a column of its own, since only leakproof comparisons use an index under row-level security. Times come from
the caller; ``updated_at`` is kept by a trigger, from ``created_at`` on.

Constraints are named ``<kind>_<table>_<columns without tenant_id>``, so that ``errors`` can translate them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.sql.schema import ColumnCollectionConstraint


def _about(constraint: ColumnCollectionConstraint | Index, _table: Table) -> str:
    """The columns a constraint or index is about; that it is per agency goes without saying."""
    names = [column.name for column in constraint.columns]
    return "_".join([name for name in names if name != "tenant_id"] or names)


metadata = MetaData(
    naming_convention={
        "about": _about,
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(about)s",
        "fk": "fk_%(table_name)s_%(about)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(about)s",
    }
)

Bytes = LargeBinary()
Json = JSONB()
Money = Numeric(18, 4)
Time = DateTime(timezone=True)
Uuid = UUID(as_uuid=False)


def required(name: str, kind: Any, *more: Any, default: str | None = None) -> Column[Any]:
    """A NOT NULL column; ``default`` is the SQL expression of the server's default."""
    return Column(name, kind, *more, nullable=False, server_default=None if default is None else text(default))


def optional(name: str, kind: Any) -> Column[Any]:
    """A column that may be NULL."""
    return Column(name, kind, nullable=True)


def tenant_id() -> Column[Any]:
    """The agency a row belongs to."""
    return required("tenant_id", Uuid, ForeignKey("tenants.id"))


def created_at() -> Column[Any]:
    """When a row was made, by the caller's clock."""
    return required("created_at", Time)


def timestamps() -> tuple[Column[Any], Column[Any]]:
    """``created_at``, and ``updated_at`` as the trigger keeps it."""
    return created_at(), required("updated_at", Time)


def owned(*, target: bool = False) -> tuple[Any, ...]:
    """``id`` and ``tenant_id``; with ``target`` other tables may point here."""
    own = (required("id", Uuid), tenant_id(), PrimaryKeyConstraint("id"))
    return (*own, UniqueConstraint("tenant_id", "id")) if target else own


def reference(
    table: str, column: str, on_delete: Literal["CASCADE", "RESTRICT", "SET NULL"] | None = None
) -> ForeignKeyConstraint:
    """A reference within the agency. SET NULL names its column: a plain one would null the tenant too."""
    action = f"SET NULL ({column})" if on_delete == "SET NULL" else on_delete
    return ForeignKeyConstraint(["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete=action)


def one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """A check that a column is one of ``words``."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def currency(column: str) -> CheckConstraint:
    """A check that a column is an ISO 4217 code by its form."""
    return CheckConstraint(f"{column} ~ '^[A-Z]{{3}}$'", name=column)


def partial_index(name: str, *columns: str, only: str, unique: bool = False) -> Index:
    """An index on the rows where ``only`` holds."""
    return Index(name, *columns, unique=unique, postgresql_where=text(only))
