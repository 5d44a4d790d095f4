"""Users that an identity provider manages."""
