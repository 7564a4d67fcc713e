"""Ticker: a real-time crypto price stream that people may depend on."""
