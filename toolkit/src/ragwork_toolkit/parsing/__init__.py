"""What parsers of files share: collecting blocks within limits, and opening archives safely."""
