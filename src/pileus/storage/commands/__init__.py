"""Commands of primary storage, disk offerings and volumes, one file a resource."""
