"""Prices of real exchanges: one feed for all, and one file for each exchange."""
