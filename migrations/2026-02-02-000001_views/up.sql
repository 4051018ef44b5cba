-- For people who read the database: an utterance a row, a call a row, times as times and not as microseconds.
--
-- `security_invoker`: the tables below check the rights and policies of whoever asks, and not of the owner of the
-- view, or every organisation would see all the others through it. Hence they are as empty as the tables for who has
-- set no organisation. The engine may read them too, so that tests can say what it sees.
-- Postgres 14 knows no such views, and unsafe ones are worse than none: there nothing is made.
DO $views$
BEGIN
IF current_setting('server_version_num')::integer < 150000 THEN
    RAISE NOTICE 'the views transcripts and conversations need Postgres 15';
    RETURN;
END IF;

CREATE VIEW transcripts WITH (security_invoker = true) AS
SELECT
    e.organisation_id,
    e.call_id,
    c.agent_id,
    c.agent_display_name AS agent,
    e.sequence,
    e.role AS speaker,
    e.text,
    e.unheard_text,
    c.start_time + e.start_us * interval '1 microsecond' AS said_at,
    make_interval(secs => e.start_us / 1000000.0) AS call_offset,
    make_interval(secs => (e.end_us - e.start_us) / 1000000.0) AS duration,
    e.interrupted_us IS NOT NULL AS interrupted,
    e.typed
FROM transcript_entries e
JOIN calls c ON c.organisation_id = e.organisation_id AND c.id = e.call_id;
COMMENT ON VIEW transcripts IS 'what was said, a row for each utterance; order by call_id, sequence';
COMMENT ON COLUMN transcripts.text IS 'of the agent: only what the caller heard';
COMMENT ON COLUMN transcripts.unheard_text IS 'of the agent: what was to be said when the caller cut in';
COMMENT ON COLUMN transcripts.said_at IS 'when it began; null if the call never began';
COMMENT ON COLUMN transcripts.call_offset IS 'the same, counted from the beginning of the call';
COMMENT ON COLUMN transcripts.interrupted IS 'the caller cut the agent off';
COMMENT ON COLUMN transcripts.typed IS 'typed or dialled instead of spoken';
GRANT SELECT ON transcripts TO parlance_engine;

CREATE VIEW conversations WITH (security_invoker = true) AS
SELECT
    c.organisation_id,
    c.id AS call_id,
    c.agent_id,
    c.agent_display_name AS agent,
    c.call_type,
    c.direction,
    c.state,
    c.create_time AS created_at,
    c.start_time AS started_at,
    c.end_time AS ended_at,
    c.end_time - c.start_time AS duration,
    c.end_reason,
    said.caller_utterances,
    said.agent_utterances,
    said.interruptions,
    ran.tools,
    booked.appointments,
    said.conversation
FROM calls c
LEFT JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE e.role = 'caller') AS caller_utterances,
        count(*) FILTER (WHERE e.role = 'agent') AS agent_utterances,
        count(e.interrupted_us) AS interruptions,
        string_agg(e.role || ': ' || e.text, E'\n' ORDER BY e.sequence) FILTER (WHERE e.text <> '') AS conversation
    FROM transcript_entries e
    WHERE e.organisation_id = c.organisation_id AND e.call_id = c.id
) said ON true
LEFT JOIN LATERAL (
    SELECT string_agg(t.tool || ' ' || t.state, ', ' ORDER BY t.create_time, t.id) AS tools
    FROM tool_invocations t
    WHERE t.organisation_id = c.organisation_id AND t.call_id = c.id
) ran ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS appointments
    FROM appointments a
    WHERE a.organisation_id = c.organisation_id AND a.call_id = c.id AND a.state = 'booked'
) booked ON true;
COMMENT ON VIEW conversations IS 'what became of calls, a row for each';
COMMENT ON COLUMN conversations.duration IS 'null while it goes on';
COMMENT ON COLUMN conversations.tools IS 'what the agent did and how it went, in order; null if nothing';
COMMENT ON COLUMN conversations.appointments IS 'booked in this call and not cancelled since';
COMMENT ON COLUMN conversations.conversation IS 'everything that was said and heard, a line for each utterance';
GRANT SELECT ON conversations TO parlance_engine;

END
$views$;
