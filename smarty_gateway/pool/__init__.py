"""A pool: workers that take the frames of many edges from a RabbitMQ cluster, decrypt and decode them."""
