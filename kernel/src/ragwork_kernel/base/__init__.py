"""Base: what the rest of the kernel stands on: settings, secrets, JSON, telemetry, egress, shares."""
