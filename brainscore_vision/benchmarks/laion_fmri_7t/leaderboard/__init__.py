"""Results on a leaderboard: from a results file into Brain-Score's own database, SQLite or PostgreSQL.

``entries.record(results, database.open_database(place))`` writes them; ``checks`` says which results may stand on one
leaderboard.
"""
