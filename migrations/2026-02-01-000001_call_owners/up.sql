-- A live call belongs to one node, for as long as that node renews its lease. All times are the database's own.
-- An owner takes a call with a new epoch; who comes with an older one is fenced off.
ALTER TABLE calls
    ADD COLUMN owner_node uuid,
    ADD COLUMN owner_epoch bigint NOT NULL DEFAULT 0,
    ADD COLUMN lease_expire_time timestamptz,
    ADD COLUMN lease_ms integer;
COMMENT ON COLUMN calls.owner_node IS 'the process that holds the call, or held it last; a new one each start';
COMMENT ON COLUMN calls.owner_epoch IS 'grows with each owner; 0 when there never was one';
COMMENT ON COLUMN calls.lease_expire_time IS 'from then on, and a lease of grace later, others may take the call';
COMMENT ON COLUMN calls.lease_ms IS 'how long a renewal lasts: the owner chose it, and others go by it';
-- Without the time, so that a renewal touches no index.
CREATE INDEX calls_ongoing ON calls (id) WHERE state = 'ongoing';

-- Leases are renewed and lapse across organisations. The functions below run as the owner, who is under the forced
-- policies too. These let it pass, it alone, and only in a transaction of these functions: who comes in as the owner
-- by mistake sees no more than before.
CREATE POLICY ownership_seen ON calls FOR SELECT TO CURRENT_USER
    USING (current_setting('app.leases', true) = 'on');
CREATE POLICY ownership_changed ON calls FOR UPDATE TO CURRENT_USER
    USING (current_setting('app.leases', true) = 'on');
CREATE POLICY ownership_seen ON journal FOR SELECT TO CURRENT_USER
    USING (current_setting('app.leases', true) = 'on');
CREATE POLICY ownership_seen ON tool_invocations FOR SELECT TO CURRENT_USER
    USING (current_setting('app.leases', true) = 'on');
CREATE POLICY ownership_changed ON tool_invocations FOR UPDATE TO CURRENT_USER
    USING (current_setting('app.leases', true) = 'on');

-- Renews the leases of those of `held` that `node` still owns, and gives them back. One that lapsed and that nobody
-- took lives again. Not now(): a transaction that had to wait must not give a lease that is half over.
CREATE FUNCTION renew_leases(node uuid, held uuid[])
    RETURNS TABLE (call_id uuid, epoch bigint)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = parlance, pg_temp
    AS $$
        SELECT set_config('app.leases', 'on', true);
        WITH mine AS (
            SELECT c.id FROM calls c
            WHERE c.id = ANY (held) AND c.state = 'ongoing' AND c.owner_node = node
            ORDER BY c.id FOR NO KEY UPDATE
        )
        UPDATE calls c SET lease_expire_time = clock_timestamp() + c.lease_ms * interval '1 ms'
        FROM mine WHERE c.id = mine.id
        RETURNING c.id, c.owner_epoch
    $$;
REVOKE ALL ON FUNCTION renew_leases(uuid, uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION renew_leases(uuid, uuid[]) TO parlance_engine;

-- Ends the calls whose owner is lost, as `engine_lost`, when their node was last heard of, and gives them back.
-- `watched_since` and `last_seen` are database times: the caller has had answers from this database all along from
-- the one to the other. A call is lost when
--   its lease lapsed one more lease ago (its own length or the sweeper's, whichever is longer), and
--   the database has been up, and watched, for two leases, so that its owner had time to come back, and
--   the watch is fresh: a statement that was held up, as by a server that stood still, judges nothing.
-- A call of a version that knew no leases is lost when it is older than any call may become (a day).
CREATE FUNCTION close_lost_calls(
    sweeper uuid, sweeper_lease_ms integer, watched_since timestamptz, last_seen timestamptz, message text)
    RETURNS TABLE (organisation_id uuid, call_id uuid, lost_node uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = parlance, pg_temp
    AS $$
        SELECT set_config('app.leases', 'on', true);
        WITH lost AS (
            SELECT c.id, c.owner_node,
                c.lease_expire_time - c.lease_ms * interval '1 ms' AS last_renewal,
                (SELECT j.at_us FROM journal j WHERE j.call_id = c.id
                    ORDER BY j.journal_offset DESC LIMIT 1) AS last_entry_us
            FROM calls c, LATERAL (SELECT greatest(c.lease_ms, sweeper_lease_ms) * interval '1 ms' AS whole) lease
            WHERE c.state = 'ongoing' AND CASE WHEN c.lease_expire_time IS NULL
                THEN coalesce(c.start_time, c.create_time) + interval '25 hours' < now()
                ELSE c.lease_expire_time + lease.whole < now()
                    AND greatest(pg_postmaster_start_time(), watched_since) + 2 * lease.whole < now()
                    AND clock_timestamp() - last_seen < lease.whole / 2
                END
            ORDER BY c.id LIMIT 100 FOR NO KEY UPDATE OF c SKIP LOCKED
        ), ended AS (
            UPDATE calls c SET state = 'ended', owner_node = sweeper, owner_epoch = c.owner_epoch + 1,
                end_reason = 'engine_lost', end_message = message,
                end_time = greatest(c.start_time, least(now(), greatest(lost.last_renewal,
                    coalesce(c.start_time, c.create_time) + coalesce(lost.last_entry_us, 0) * interval '1 us')))
            FROM lost WHERE c.id = lost.id
            RETURNING c.organisation_id, c.id, lost.owner_node
        ), unfinished AS (
            -- What was begun may have happened; what was only written down has not.
            UPDATE tool_invocations t SET finish_time = now(), result = jsonb_build_object('reason', message),
                state = CASE t.state WHEN 'running' THEN 'unknown' ELSE 'failed' END
            FROM lost WHERE t.call_id = lost.id AND t.finish_time IS NULL
        )
        SELECT * FROM ended
    $$;
REVOKE ALL ON FUNCTION close_lost_calls(uuid, integer, timestamptz, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION close_lost_calls(uuid, integer, timestamptz, timestamptz, text) TO parlance_engine;
