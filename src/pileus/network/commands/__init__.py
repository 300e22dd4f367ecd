"""Commands of offerings, networks, addresses, rules and routers, one file a resource."""
