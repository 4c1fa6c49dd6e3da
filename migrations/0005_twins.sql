-- Rows whose request is that of another row wait for its answer while a run works (--dedupe).

ALTER TABLE jobs ADD COLUMN twin_of INTEGER; -- the job whose answer is waited for

-- What may be claimed, in the order of claiming.
DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (batch_id, not_before, id)
    WHERE state = 0 AND position IS NOT NULL AND twin_of IS NULL;
-- What waits for another row.
CREATE INDEX jobs_twins ON jobs (batch_id, id) WHERE twin_of IS NOT NULL;

PRAGMA user_version = 5;
