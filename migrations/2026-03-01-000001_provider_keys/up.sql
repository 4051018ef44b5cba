-- Organisations' own keys of vendors, encrypted by the engine: the database never sees one.
CREATE TABLE provider_keys (
    id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    vendor text NOT NULL CHECK (vendor <> ''),
    sealed bytea NOT NULL,
    master_key text NOT NULL,
    hint text NOT NULL CHECK (length(hint) IN (0, 4)),
    create_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organisation_id, vendor)
);
COMMENT ON COLUMN provider_keys.sealed IS 'nonce and ciphertext, bound to organisation, vendor and id';
COMMENT ON COLUMN provider_keys.master_key IS 'which master key it was sealed with: the start of its hash';
COMMENT ON COLUMN provider_keys.hint IS 'the last four characters of the key, for people';
ALTER TABLE provider_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE provider_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON provider_keys
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON provider_keys TO parlance_engine;
