"""From an upload to indexed chunks."""
