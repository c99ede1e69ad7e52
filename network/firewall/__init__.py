"""The firewall: rules, elements of its sets, refused packets."""
