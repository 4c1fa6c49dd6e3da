-- Requests for embeddings have an input instead of messages, and a vector for an answer.

DROP VIEW answers;

-- For people: sqlite3 promptmill.db 'SELECT row, prompt, response FROM answers'
CREATE VIEW answers AS
SELECT
    b.name AS batch,
    j.position + 1 AS row,
    r.key AS key,
    CASE WHEN substr(r.cells, 1, 1) = '{' THEN r.cells ELSE (
        SELECT json_group_object(c.value, r.cells ->> c.key)
        FROM json_each(b.columns) AS c
    ) END AS input,
    coalesce(r.request ->> '$.messages[#-1].content', r.request ->> '$.input') AS prompt,
    coalesce(x.body ->> '$.choices[0].message.content', x.body ->> '$.data[0].embedding')
        AS response,
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

PRAGMA user_version = 6;
