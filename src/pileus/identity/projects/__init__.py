"""Projects: accounts without users of their own, whose objects the members of the project share."""
