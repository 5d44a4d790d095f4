"""The protocol, RFC 7643 and 7644: models, filters, patches, payloads, projections, errors."""
