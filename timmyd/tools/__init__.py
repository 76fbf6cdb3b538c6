"""What the operator's larger commands do: check, demo, import, replay. It stands on the service and the engine."""
