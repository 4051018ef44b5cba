-- Organisations' secrets that tools name, encrypted by the engine: the database never sees one.
CREATE TABLE tool_secrets (
    id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    name text NOT NULL CHECK (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    sealed bytea NOT NULL,
    master_key text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organisation_id, name)
);
COMMENT ON COLUMN tool_secrets.sealed IS 'nonce and ciphertext, bound to organisation, name and id';
COMMENT ON COLUMN tool_secrets.master_key IS 'which master key it was sealed with: the start of its hash';
COMMENT ON COLUMN tool_secrets.update_time IS 'when its value was set last';
ALTER TABLE tool_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE tool_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tool_secrets
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON tool_secrets TO parlance_engine;
