"""What agents may do: scopes, policies, and the engine that decides."""
