"""Errors of recording on a leaderboard."""


class LeaderboardError(ValueError):
    """Results that cannot be recorded, or a database that cannot be written."""
