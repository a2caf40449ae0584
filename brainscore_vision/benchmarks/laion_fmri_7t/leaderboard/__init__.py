"""Results on a leaderboard: from a results file into Brain-Score's own database, SQLite or PostgreSQL.

``record(results, open_database(place))`` writes; ``checks`` says which results may stand beside each other.
"""

from .checks import check_recordable
from .database import open_database, place_name
from .errors import LeaderboardError
from .recording import Recording, Submitter, record

__all__ = [
    "LeaderboardError",
    "Recording",
    "Submitter",
    "check_recordable",
    "open_database",
    "place_name",
    "record",
]
