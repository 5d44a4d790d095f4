"""What a token is: formats, signing, issuing, verification, records, constraints and lineage."""
