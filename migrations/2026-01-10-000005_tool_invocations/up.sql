-- Written before the tool runs: a row left 'pending' surely had no effect, one left 'running' may have had.
CREATE TABLE tool_invocations (
    id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL,
    call_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    tool text NOT NULL,
    arguments jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'unknown')),
    result jsonb,
    create_time timestamptz NOT NULL DEFAULT now(),
    finish_time timestamptz,
    UNIQUE (organisation_id, idempotency_key),
    FOREIGN KEY (organisation_id, call_id) REFERENCES calls (organisation_id, id) ON DELETE CASCADE,
    CHECK ((state IN ('pending', 'running')) = (finish_time IS NULL))
);
CREATE INDEX tool_invocations_call ON tool_invocations (call_id);
ALTER TABLE tool_invocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE tool_invocations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tool_invocations
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON tool_invocations TO parlance_engine;
