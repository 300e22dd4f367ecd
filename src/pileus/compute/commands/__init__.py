"""Commands of compute: one file a resource."""
