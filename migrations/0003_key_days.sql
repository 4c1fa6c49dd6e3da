-- How many requests each key has made in a day: a limit a day is shared by all runs of that day.

CREATE TABLE key_days (
    fingerprint TEXT NOT NULL,
    base_url    TEXT NOT NULL,
    starts_at   INTEGER NOT NULL,        -- midnight in the key's zone
    requests    INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, base_url, starts_at)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 3;
