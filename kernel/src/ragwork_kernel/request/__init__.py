"""Request: the way of a request, from the connection to the answer."""
