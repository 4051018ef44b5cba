-- A number is its own id, so an organisation can't have it twice. Who deletes an agent clears these references
-- first, in the same transaction, so that the etag tells that the number has changed.
CREATE TABLE phone_numbers (
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    id text NOT NULL CHECK (id ~ '^[1-9][0-9]{6,14}$'),
    display_name text NOT NULL DEFAULT '',
    state text NOT NULL CHECK (state IN ('active', 'inactive')),
    inbound_agent_id text,
    outbound_agent_id text,
    etag text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation_id, id),
    FOREIGN KEY (organisation_id, inbound_agent_id) REFERENCES agents (organisation_id, id),
    FOREIGN KEY (organisation_id, outbound_agent_id) REFERENCES agents (organisation_id, id)
);
COMMENT ON COLUMN phone_numbers.id IS 'the number as E.164 has it, without its +';
CREATE INDEX phone_numbers_page ON phone_numbers (organisation_id, create_time, id);
ALTER TABLE phone_numbers ENABLE ROW LEVEL SECURITY;
ALTER TABLE phone_numbers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON phone_numbers
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON phone_numbers TO parlance_engine;
