"""What the user says: gateway.yaml, keys.yaml, and what they mean."""
