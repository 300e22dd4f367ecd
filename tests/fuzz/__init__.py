"""Requests that no sane client sends, and what must not come of them."""
