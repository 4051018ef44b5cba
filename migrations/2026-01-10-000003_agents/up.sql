-- An agent is deleted for good: calls carry a copy of its name, and its id is free again at once.
CREATE TABLE agents (
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    id text NOT NULL CHECK (id ~ '^[a-z0-9-]{1,63}$'),
    display_name text NOT NULL,
    settings jsonb NOT NULL DEFAULT '{}',
    etag text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, id)
);
CREATE INDEX agents_page ON agents (organisation_id, create_time, id);
ALTER TABLE agents ENABLE ROW LEVEL SECURITY;
ALTER TABLE agents FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON agents
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON agents TO parlance_engine;
