"""The output `forward`: frames as they came, to the RabbitMQ cluster of a pool."""
