"""The only package with effects: processes, files, namespaces, packets, netlink, the clock."""
