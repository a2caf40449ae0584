"""Properties of models, as a list of models gives them: a name, a family, the number of parameters, training data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .schema import migrate, writing

if TYPE_CHECKING:
    from .database import ResultsDatabase

Property = str | int | float | bool


def set_properties(database: ResultsDatabase, properties: Mapping[str, Mapping[str, Property]]) -> None:
    """Keep what is known of models, by the name that they are asked for; what was known of these models before goes.

    Results have them as :attr:`~.result.Result.properties`.
    """
    with writing(database.connection):
        migrate(database.connection)
        table = database.tables.Property
        database.connection.create_tables([table])  # a file of an earlier version lacks it
        for requested, own in properties.items():
            table.delete().where(table.requested == requested).execute()
            for name, value in own.items():
                table.create(requested=requested, name=name, value=value)
