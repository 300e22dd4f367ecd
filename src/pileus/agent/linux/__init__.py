"""The only code that touches the kernel: links, addresses, namespaces, rules, processes."""
