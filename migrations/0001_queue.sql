-- The queue: batches, their jobs and rows, what came back, and the state of the keys.
--
-- Times are milliseconds since 1970, computed by the program. `jobs` is small and hot: every claim
-- and every settlement writes it. What is large stands beside it and is written once.

PRAGMA application_id = 1886218604; -- "pmil"

CREATE TABLE batches (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    recipe     TEXT NOT NULL,            -- JSON
    columns    TEXT NOT NULL,            -- JSON array: the header of the input
    source     TEXT NOT NULL,            -- the input's path as it was given
    simulated  INTEGER NOT NULL,         -- 1: its answers are made up by the simulated provider
    stamp      TEXT,                     -- size, times and inode of the input when it was read
    created_at INTEGER NOT NULL,
    synced_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY,    -- in input order within one import
    batch_id     INTEGER NOT NULL REFERENCES batches (id),
    position     INTEGER,                -- the row's place in the input, from 0; NULL: withdrawn
    state        INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2, 3)),
                                         -- 0 pending, 1 running, 2 done, 3 failed
    not_before   INTEGER NOT NULL DEFAULT 0,
    claim_no     INTEGER NOT NULL DEFAULT 0, -- only rises; a settlement must name the current one
    requests     INTEGER NOT NULL DEFAULT 0, -- HTTP requests made for the job
    spent        INTEGER NOT NULL DEFAULT 0, -- those that count against --max-attempts
    crashes      INTEGER NOT NULL DEFAULT 0, -- times in a row the program died with the job in flight
    history_from INTEGER NOT NULL DEFAULT 0  -- attempts of claims up to this one no longer count
) STRICT;

-- What may be claimed, in the order of claiming.
CREATE INDEX jobs_ready ON jobs (batch_id, not_before, id) WHERE state = 0 AND position IS NOT NULL;
-- What is in flight: read once, after a crash.
CREATE INDEX jobs_running ON jobs (id) WHERE state = 1;
-- What was in flight at two crashes in a row: asked alone, to see whether it is the cause.
CREATE INDEX jobs_suspect ON jobs (batch_id, id) WHERE state = 0 AND crashes >= 2;
-- The order of the export.
CREATE INDEX jobs_position ON jobs (batch_id, position) WHERE position IS NOT NULL;

CREATE TABLE rows (
    job_id   INTEGER PRIMARY KEY REFERENCES jobs (id),
    batch_id INTEGER NOT NULL REFERENCES batches (id),
    key      TEXT NOT NULL,              -- what tells the row from the others of its batch
    cells    TEXT NOT NULL,              -- JSON array, in the order of batches.columns
    request  TEXT NOT NULL,              -- the request body as it is sent
    digest   TEXT NOT NULL               -- of the request
) STRICT;

CREATE UNIQUE INDEX rows_key ON rows (batch_id, key);

CREATE TABLE results (
    job_id            INTEGER PRIMARY KEY REFERENCES jobs (id),
    body              TEXT NOT NULL,     -- the response as it came, kept once
    model             TEXT NOT NULL,
    finish_reason     TEXT NOT NULL,
    prompt_tokens     INTEGER,
    completion_tokens INTEGER,
    latency_ms        INTEGER NOT NULL,
    key_label         TEXT NOT NULL,
    ended_at          INTEGER NOT NULL
) STRICT;

-- One line for every request that did not end in an answer.
CREATE TABLE attempts (
    id         INTEGER PRIMARY KEY,
    job_id     INTEGER NOT NULL REFERENCES jobs (id),
    claim_no   INTEGER NOT NULL,
    outcome    TEXT NOT NULL CHECK (outcome IN ('failed', 'unknown')),
    scope      TEXT NOT NULL,
    rule       TEXT NOT NULL,
    status     INTEGER,                  -- HTTP status, when there was one
    message    TEXT NOT NULL,            -- redacted, at most 2 KiB
    request_id TEXT NOT NULL,
    wait_ms    INTEGER,                  -- how long the provider asked to wait
    key_label  TEXT NOT NULL,
    latency_ms INTEGER,
    ended_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX attempts_job ON attempts (job_id);

-- The state of a key belongs to the key and the base URL. No key is in here, only a salted print.
CREATE TABLE keys (
    fingerprint TEXT NOT NULL,
    base_url    TEXT NOT NULL,
    model       TEXT NOT NULL,           -- empty: the state is about all models
    label       TEXT NOT NULL,
    state       TEXT NOT NULL,
    until       INTEGER,
    reason      TEXT NOT NULL,
    changed_at  INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, base_url, model)
) STRICT, WITHOUT ROWID;

CREATE TABLE identity (salt BLOB NOT NULL) STRICT;
INSERT INTO identity (salt) VALUES (randomblob(16));

-- For people: sqlite3 promptmill.db 'SELECT row, prompt, response FROM answers'
CREATE VIEW answers AS
SELECT
    b.name AS batch,
    j.position + 1 AS row,
    r.key AS key,
    (
        SELECT json_group_object(c.value, r.cells ->> c.key)
        FROM json_each(b.columns) AS c
    ) AS input,
    r.request ->> '$.messages[#-1].content' AS prompt,
    x.body ->> '$.choices[0].message.content' AS response,
    CASE j.state WHEN 2 THEN 'done' WHEN 3 THEN 'failed' ELSE 'pending' END AS status,
    CASE WHEN j.state <> 2 THEN (
        SELECT a.scope || ': ' || a.message || ' (' || a.rule || ')'
        FROM attempts AS a WHERE a.job_id = j.id AND a.claim_no > j.history_from
        ORDER BY a.id DESC LIMIT 1
    ) END AS error,
    x.model AS model,
    x.finish_reason AS finish_reason,
    x.prompt_tokens AS prompt_tokens,
    x.completion_tokens AS completion_tokens,
    j.requests AS attempts,
    x.latency_ms AS latency_ms
FROM jobs AS j
JOIN batches AS b ON b.id = j.batch_id
JOIN rows AS r ON r.job_id = j.id
LEFT JOIN results AS x ON x.job_id = j.id
WHERE j.position IS NOT NULL;

PRAGMA user_version = 1;
