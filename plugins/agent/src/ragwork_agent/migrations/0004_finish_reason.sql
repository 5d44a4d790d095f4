-- kind: expand
-- Why an answer ended, as its run told; NULL of a question, of an answer that was cut, and of one from before.
ALTER TABLE agent.messages ADD COLUMN finish_reason text;
