"""Ranking and its measurement: distances, metrics, re-ranking, protocols. Knows no network."""
