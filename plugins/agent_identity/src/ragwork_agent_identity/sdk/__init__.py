"""What the SDK synchronises: capabilities, and the credentials of integrations."""
