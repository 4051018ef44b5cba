-- What clients keep with a call, what it used, and what lists of calls are filtered and ordered by.
ALTER TABLE calls
    ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
    ADD COLUMN from_number text CHECK (from_number ~ '^\+[1-9][0-9]{6,14}$'),
    ADD COLUMN to_number text CHECK (to_number ~ '^\+[1-9][0-9]{6,14}$'),
    ADD COLUMN etag text NOT NULL DEFAULT gen_random_uuid()::text,
    ADD COLUMN usage jsonb,
    ADD COLUMN cost jsonb;
COMMENT ON COLUMN calls.etag IS 'differs after every change of metadata or labels';
COMMENT ON COLUMN calls.usage IS 'null while it runs, and for good if its engine was lost';
CREATE INDEX calls_by_from_number ON calls (organisation_id, from_number, id) WHERE from_number IS NOT NULL;
CREATE INDEX calls_by_to_number ON calls (organisation_id, to_number, id) WHERE to_number IS NOT NULL;
CREATE INDEX calls_by_create_time ON calls (organisation_id, create_time);
-- A call without the time has a place in the order too. Not COALESCE: the planner does not know that it leaks nothing.
CREATE INDEX calls_by_start ON calls (
    organisation_id, (CASE WHEN start_time IS NULL THEN 'infinity'::timestamptz ELSE start_time END), id);
CREATE INDEX calls_by_end ON calls (
    organisation_id, (CASE WHEN end_time IS NULL THEN 'infinity'::timestamptz ELSE end_time END), id);
CREATE INDEX calls_unjoined ON calls (create_time) WHERE state = 'created';
GRANT DELETE ON calls TO parlance_engine;
-- An appointment outlives its call: who deletes a call takes the reference away first.
GRANT UPDATE (call_id) ON appointments TO parlance_engine;

-- What calls are found by: a row for each label and for each scalar at the top of the metadata, as a digest, because
-- a value may be longer than an index allows. A GIN index on the columns themselves would never be used: under
-- row-level security only operators that Postgres knows to leak nothing may go before the policy, and jsonb's do not.
CREATE TABLE call_tags (
    organisation_id uuid NOT NULL,
    call_id uuid NOT NULL,
    tag uuid NOT NULL,
    PRIMARY KEY (organisation_id, tag, call_id),
    FOREIGN KEY (organisation_id, call_id) REFERENCES calls (organisation_id, id) ON DELETE CASCADE
);
CREATE INDEX call_tags_call ON call_tags (call_id);
ALTER TABLE call_tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE call_tags FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON call_tags
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON call_tags TO parlance_engine;

-- Of 'label' or 'metadata', the key, and the value as JSON; 7 and 7.0 are the same number.
CREATE FUNCTION call_tag(kind text, key text, value jsonb)
    RETURNS uuid
    LANGUAGE sql IMMUTABLE
    AS $$
        SELECT md5(jsonb_build_array(kind, key,
            CASE jsonb_typeof(value) WHEN 'number' THEN to_jsonb(value::text::float8) ELSE value END)::text)::uuid
    $$;

CREATE FUNCTION tag_call()
    RETURNS trigger
    LANGUAGE plpgsql SET search_path = parlance, pg_temp
    AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            DELETE FROM call_tags t WHERE t.call_id = NEW.id;
        END IF;
        INSERT INTO call_tags (organisation_id, call_id, tag)
            SELECT NEW.organisation_id, NEW.id, call_tag('label', l.key, l.value)
            FROM jsonb_each(NEW.labels) l
            UNION
            SELECT NEW.organisation_id, NEW.id, call_tag('metadata', m.key, m.value)
            FROM jsonb_each(NEW.metadata) m
            WHERE jsonb_typeof(m.value) IN ('string', 'number', 'boolean');
        RETURN NULL;
    END
    $$;
CREATE TRIGGER tag_new_call AFTER INSERT ON calls
    FOR EACH ROW WHEN (NEW.labels <> '{}' OR NEW.metadata <> '{}')
    EXECUTE FUNCTION tag_call();
CREATE TRIGGER tag_changed_call AFTER UPDATE OF labels, metadata ON calls
    FOR EACH ROW WHEN (NEW.labels <> OLD.labels OR NEW.metadata <> OLD.metadata)
    EXECUTE FUNCTION tag_call();

-- Calls are waited for across organisations. The function runs as the owner, who is under the forced policies too:
-- these let it pass, it alone, and only in a transaction of this function.
CREATE POLICY unjoined_seen ON calls FOR SELECT TO CURRENT_USER
    USING (current_setting('app.unjoined', true) = 'on');
CREATE POLICY unjoined_changed ON calls FOR UPDATE TO CURRENT_USER
    USING (current_setting('app.unjoined', true) = 'on');

-- Ends the calls that nobody joined within `seconds` of their making, a thousand at most, and gives them back.
CREATE FUNCTION close_unjoined_calls(seconds integer, message text)
    RETURNS TABLE (call_id uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = parlance, pg_temp
    AS $$
        SELECT set_config('app.unjoined', 'on', true);
        WITH unjoined AS (
            SELECT c.id FROM calls c
            WHERE c.state = 'created' AND c.create_time < now() - seconds * interval '1 s'
            ORDER BY c.create_time LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
        ), ended AS (
            UPDATE calls c SET state = 'ended', end_time = now(), end_reason = 'caller_never_joined',
                end_message = message
            FROM unjoined WHERE c.id = unjoined.id
            RETURNING c.id
        )
        SELECT id FROM ended
    $$;
REVOKE ALL ON FUNCTION close_unjoined_calls(integer, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION close_unjoined_calls(integer, text) TO parlance_engine;
