"""Taking over the runs and events of a registry that ran before this, and proving that all came over.

It is read, never written: from its database, or from a file that its ``dumpdata`` wrote.
"""

from harvest.oldregistry.importing import Import, Unproven
from harvest.oldregistry.names import Names, UnknownName
from harvest.oldregistry.sources import DatabaseSource, FileSource, Source, Unreadable

__all__ = [
    "DatabaseSource",
    "FileSource",
    "Import",
    "Names",
    "Source",
    "UnknownName",
    "Unproven",
    "Unreadable",
]
