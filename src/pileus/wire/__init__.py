"""Structs that management and agent share: what crosses the wire, and nothing that does I/O."""
