-- Who asked for what: keys with a name and a last use, answers kept for repeated requests, the audit log.
ALTER TABLE api_keys
    ADD COLUMN display_name text NOT NULL DEFAULT '',
    ADD COLUMN last_use_time timestamptz;
COMMENT ON COLUMN api_keys.last_use_time IS 'at most a minute behind';
GRANT UPDATE (display_name, revoke_time, last_use_time) ON api_keys TO parlance_engine;

CREATE TABLE request_answers (
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    request_id text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 64),
    method text NOT NULL,
    body_hash bytea NOT NULL CHECK (octet_length(body_hash) = 32),
    answer bytea,
    create_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, request_id)
);
COMMENT ON COLUMN request_answers.answer IS 'the encoded response; null while the request is under way';
CREATE INDEX request_answers_age ON request_answers (create_time);
ALTER TABLE request_answers ENABLE ROW LEVEL SECURITY;
ALTER TABLE request_answers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON request_answers
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
-- The sweep below crosses organisations and runs as the owner, who is under the forced policy too.
CREATE POLICY sweep ON request_answers FOR ALL TO CURRENT_USER USING (create_time < now() - interval '24 hours');
GRANT SELECT, INSERT, UPDATE, DELETE ON request_answers TO parlance_engine;

CREATE FUNCTION sweep_request_answers() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = parlance, pg_temp
    AS $$
        WITH gone AS (DELETE FROM request_answers WHERE create_time < now() - interval '24 hours' RETURNING 1)
        SELECT count(*) FROM gone
    $$;
REVOKE ALL ON FUNCTION sweep_request_answers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sweep_request_answers() TO parlance_engine;

-- Append-only: the engine holds no right to change or delete an entry. The key may be gone.
CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key_id uuid NOT NULL,
    method text NOT NULL,
    resource text NOT NULL,
    request_id text NOT NULL DEFAULT '',
    create_time timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN audit_log.id IS 'UUID version 7: newest first is the order of the ids, backwards';
CREATE INDEX audit_log_page ON audit_log (organisation_id, id);
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_log
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT ON audit_log TO parlance_engine;
