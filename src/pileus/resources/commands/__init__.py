"""Commands of what hangs on any object, and of operators."""
