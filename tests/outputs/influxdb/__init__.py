"""The InfluxDB output."""
