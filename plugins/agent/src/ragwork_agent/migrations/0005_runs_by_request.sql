-- kind: expand
-- A user's run by its request, for what is said of it afterwards.
CREATE INDEX messages_by_request ON agent.messages (tenant_id, user_id, request_id);
