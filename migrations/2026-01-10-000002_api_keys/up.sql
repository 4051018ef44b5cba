-- Keys are kept as the SHA-256 of 256 random bits: nothing here opens a door.
CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    key_hash bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    key_prefix text NOT NULL,
    scopes text[] NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    revoke_time timestamptz
);
COMMENT ON COLUMN api_keys.key_prefix IS 'the first characters of the secret, for people to tell keys apart';
CREATE INDEX api_keys_organisation ON api_keys (organisation_id);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
-- A caller is known by the key before the organisation is known. The function below runs as the owner, and
-- an owner without superuser rights is under the forced policy too: this second policy is for it alone.
CREATE POLICY key_lookup ON api_keys FOR SELECT TO CURRENT_USER USING (true);
GRANT SELECT, INSERT ON api_keys TO parlance_engine;

CREATE FUNCTION find_api_key(hash bytea)
    RETURNS TABLE (key_id uuid, organisation_id uuid, scopes text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = parlance, pg_temp
    AS $$
        SELECT k.id, k.organisation_id, k.scopes FROM api_keys k
        WHERE k.key_hash = hash AND k.revoke_time IS NULL
    $$;
REVOKE ALL ON FUNCTION find_api_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key(bytea) TO parlance_engine;
