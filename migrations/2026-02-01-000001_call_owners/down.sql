DROP FUNCTION close_lost_calls(uuid, integer, timestamptz, timestamptz, text);
DROP FUNCTION renew_leases(uuid, uuid[]);
DROP POLICY ownership_changed ON tool_invocations;
DROP POLICY ownership_seen ON tool_invocations;
DROP POLICY ownership_seen ON journal;
DROP POLICY ownership_changed ON calls;
DROP POLICY ownership_seen ON calls;
DROP INDEX calls_ongoing;
ALTER TABLE calls
    DROP COLUMN owner_node,
    DROP COLUMN owner_epoch,
    DROP COLUMN lease_expire_time,
    DROP COLUMN lease_ms;
