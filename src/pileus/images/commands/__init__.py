"""Commands of image stores, templates and guest operating systems, one file a resource."""
