"""The core: commands, dispatch, database, jobs, events and settings.  It knows no domain."""
