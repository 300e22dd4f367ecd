"""One class of tests for each driver Protocol; every driver passes it."""
