"""Boot: plugins found, ordered, asked and wired; the server and worker processes."""
