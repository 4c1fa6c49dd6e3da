-- The provider's id of the request that brought an answer: a Batch output file names it.

ALTER TABLE results ADD COLUMN request_id TEXT NOT NULL DEFAULT '';

PRAGMA user_version = 4;
