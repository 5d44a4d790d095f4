"""Who may do what to a document."""
