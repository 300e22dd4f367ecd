"""Resource limits: how much accounts and domains may have, and how much they have, exactly."""
