"""Prices: quotes, the book that keeps them, the hub that fans them out.

Nothing in here knows of clients, sockets, keys or HTTP.
"""
