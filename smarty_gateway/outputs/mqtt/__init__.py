"""The MQTT output: newest states, the history of telegrams, and discovery by Home Assistant."""
