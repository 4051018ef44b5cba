DROP FUNCTION close_unjoined_calls(integer, text);
DROP POLICY unjoined_changed ON calls;
DROP POLICY unjoined_seen ON calls;
DROP TRIGGER tag_changed_call ON calls;
DROP TRIGGER tag_new_call ON calls;
DROP FUNCTION tag_call();
DROP FUNCTION call_tag(text, text, jsonb);
DROP TABLE call_tags;
REVOKE UPDATE (call_id) ON appointments FROM parlance_engine;
REVOKE DELETE ON calls FROM parlance_engine;
DROP INDEX calls_unjoined;
DROP INDEX calls_by_create_time;
DROP INDEX calls_by_end;
DROP INDEX calls_by_start;
ALTER TABLE calls
    DROP COLUMN cost,
    DROP COLUMN usage,
    DROP COLUMN etag,
    DROP COLUMN to_number,
    DROP COLUMN from_number,
    DROP COLUMN labels,
    DROP COLUMN metadata;
