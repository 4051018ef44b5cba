-- What appointments are booked on: people and rooms. An organisation with any books one each, the first that is
-- active and free; an organisation without goes by its capacity.
CREATE TABLE resources (
    id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    display_name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('person', 'room')),
    state text NOT NULL CHECK (state IN ('active', 'inactive')),
    position integer NOT NULL DEFAULT 0 CHECK (position BETWEEN 0 AND 1000000),
    etag text NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organisation_id, id)
);
COMMENT ON COLUMN resources.position IS 'lower is assigned first; where equal, the older one';
CREATE INDEX resources_order ON resources (organisation_id, position, id);
ALTER TABLE resources ENABLE ROW LEVEL SECURITY;
ALTER TABLE resources FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON resources
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON resources TO parlance_engine;

-- No cascade: who deletes a resource clears the reference first, in the same transaction.
ALTER TABLE appointments
    ADD COLUMN resource_id uuid,
    ADD FOREIGN KEY (organisation_id, resource_id) REFERENCES resources (organisation_id, id);
COMMENT ON COLUMN appointments.resource_id IS 'who or what was booked; none where there are no resources';
CREATE INDEX appointments_resource ON appointments (resource_id, end_time) WHERE resource_id IS NOT NULL;
GRANT UPDATE (resource_id) ON appointments TO parlance_engine;
