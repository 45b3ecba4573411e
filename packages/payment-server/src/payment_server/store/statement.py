"""Statements that many callers share: how one is written for any number of rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Wish(NamedTuple):
    """A row for a statement, its subject, and whether its caller may send it again."""

    row: tuple[object, ...]
    subject: str | None
    repeatable: bool


class Statement:
    """A statement for as many rows at once as there are callers.

    It has the rows in `wish`, by the names of its columns; each row of its result says with `nr`
    whose reply it is, and no caller has two. Whatever it locks, it has to lock in the order of
    `wish`, or in another that all statements keep: or two of them wait for each other.
    """

    def __init__(
        self,
        columns: Sequence[tuple[str, str]],
        body: str,
        *,
        writes: bool = False,
        finishes: bool = False,
    ) -> None:
        """`columns` are names and types. `finishes`: it ends what was begun, so it may use the room
        that is kept in reserve."""
        arrays = ", ".join(f"${n}::{type_}[]" for n, (_, type_) in enumerate(columns, 1))
        names = ", ".join(name for name, _ in columns)
        self.sql = f"""
WITH wish AS (
  SELECT * FROM unnest({arrays}) WITH ORDINALITY AS wish ({names}, nr)
){body}"""
        self.writes = writes
        self.finishes = finishes
        self._long = [n for n, (_, type_) in enumerate(columns) if type_ in ("json", "jsonb")]

    def size_bytes(self, row: tuple[Any, ...]) -> int:
        """About how much of a request a row takes; what is not JSON is short."""
        return sum(len(row[n] or "") for n in self._long)
