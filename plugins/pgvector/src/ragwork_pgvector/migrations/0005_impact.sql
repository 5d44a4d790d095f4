-- kind: expand no-transaction
-- A term's postings by what they add to a score, so that the best of a long list are read without the rest. The expression is the saturation
-- of BM25 at a mean length of 100 terms; the statement that reads by it has it to the letter.
CREATE INDEX CONCURRENTLY postings_impact ON pgvector.postings (
    tenant_id, term, (frequency / (frequency + 0.3::float8 + 0.009::float8 * length)) DESC
) INCLUDE (generation, ordinal, length, frequency);
