"""A login, from the redirect to the session."""
