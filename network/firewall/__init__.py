"""The firewall: rules, set elements, refused packets."""
