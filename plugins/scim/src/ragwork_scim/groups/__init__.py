"""Groups that an identity provider manages, their members and their roles."""
