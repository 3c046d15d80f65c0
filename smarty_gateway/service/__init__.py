"""What `service` does: the gateway as a service of systemd, with the access that its configuration needs."""
