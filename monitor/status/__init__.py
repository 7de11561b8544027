"""What a running sidecar says of itself, read over its admin port: for people in a terminal, and for monitoring checks."""
