"""The HTTP side on Quart-Trio: tokens, prices, operations, the page."""
