-- How long callers waited for their answers, taken from the journal where it is written: statistics over many calls
-- read an index and no entries.
ALTER TABLE journal ADD COLUMN turn_latency_ms integer GENERATED ALWAYS AS (
    CASE
        WHEN kind = 'told' AND payload ->> 'event' = 'waterfall'
            AND jsonb_typeof(payload -> 'heard') = 'number'
            AND jsonb_typeof(payload -> 'last_voice') = 'number'
        THEN greatest(least(((payload ->> 'heard')::numeric - (payload ->> 'last_voice')::numeric) / 1000, 86400000), 0)::integer
    END
) STORED;
COMMENT ON COLUMN journal.turn_latency_ms IS 'of a waterfall: from the caller''s last voiced sample to the first sample heard of the answer';
CREATE INDEX journal_turn_latencies ON journal (call_id) INCLUDE (organisation_id, turn_latency_ms)
    WHERE turn_latency_ms IS NOT NULL;
CREATE INDEX calls_by_agent_and_time ON calls (organisation_id, agent_id, start_time) INCLUDE (id);
