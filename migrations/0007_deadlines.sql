-- A batch can have a time by which it must be complete.

ALTER TABLE batches ADD COLUMN deadline INTEGER; -- NULL: none

PRAGMA user_version = 7;
