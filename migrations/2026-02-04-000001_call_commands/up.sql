-- What a node asks of the node that a call lives on. A row lives for seconds: who asked takes it away again.
CREATE TABLE call_commands (
    id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL,
    call_id uuid NOT NULL,
    command jsonb NOT NULL,
    create_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    expire_time timestamptz NOT NULL,
    outcome text CHECK (outcome IN ('done')),
    FOREIGN KEY (organisation_id, call_id) REFERENCES calls (organisation_id, id) ON DELETE CASCADE
);
COMMENT ON COLUMN call_commands.expire_time IS 'who asked has given up by then; it is not carried out any more';
COMMENT ON COLUMN call_commands.outcome IS 'none until a node has taken it: only one can';
CREATE INDEX call_commands_by_call ON call_commands (organisation_id, call_id);
ALTER TABLE call_commands ENABLE ROW LEVEL SECURITY;
ALTER TABLE call_commands FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON call_commands
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, DELETE, UPDATE (outcome) ON call_commands TO parlance_engine;

-- A node that died while it asked leaves its row behind. Whose it was does not matter to the broom: the function
-- runs as the owner, and this policy lets the owner touch nothing but what is long past.
CREATE POLICY sweep ON call_commands TO CURRENT_USER USING (expire_time < now() - interval '1 minute');
CREATE FUNCTION sweep_call_commands()
    RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = parlance, pg_temp
    AS $$
        WITH swept AS (
            DELETE FROM call_commands WHERE expire_time < now() - interval '1 minute' RETURNING 1
        )
        SELECT count(*) FROM swept
    $$;
REVOKE ALL ON FUNCTION sweep_call_commands() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sweep_call_commands() TO parlance_engine;
