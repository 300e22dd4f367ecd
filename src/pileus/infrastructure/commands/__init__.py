"""Commands of infrastructure, one file a resource."""
