"""Commands of identity, one file a resource."""
