"""Domoticz: its JSON API; what a device gets is the same over MQTT."""
