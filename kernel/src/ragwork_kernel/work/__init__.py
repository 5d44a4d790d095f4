"""Work: what happens outside of requests: the job queue, its workers and schedules, the outbox."""
