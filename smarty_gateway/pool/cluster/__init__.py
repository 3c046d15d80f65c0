"""The RabbitMQ cluster of a pool: what it holds, made and checked through its management API."""
