-- kind: expand
-- Documents to be indexed anew, with the generation that is: what an earlier one came to is forgotten.
CREATE FUNCTION documents.requeue(ids text[], reindexed boolean) RETURNS TABLE (id text, generation integer)
    LANGUAGE sql VOLATILE AS $$
    UPDATE documents.documents d
       SET status = 'queued', phase = 'queued', failure_reason = NULL, generation = d.generation + 1, attempt = 0,
           chunks_done = 0, chunks_total = NULL, queued_at = now(), processing_started_at = NULL, completed_at = NULL,
           last_reindexed_at = CASE WHEN reindexed THEN now() ELSE d.last_reindexed_at END, updated_at = now()
     WHERE d.tenant_id = ragwork.tenant() AND d.id = ANY (ids)
    RETURNING d.id, d.generation
$$;
