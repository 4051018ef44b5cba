-- Who owns the rows, and when they are open.
--
-- Every migration runs as the owner with `parlance` first on the search path; the engine itself comes in
-- as role parlance_engine. Row-level security is FORCED on each table, so that an owner without superuser
-- rights is held to the policy too. The setting comes back as an empty string on a pooled connection
-- after its transaction, hence NULLIF: no organisation means no rows.
GRANT USAGE ON SCHEMA parlance TO parlance_engine;

CREATE TABLE organisations (
    id uuid PRIMARY KEY,
    display_name text NOT NULL,
    time_zone text NOT NULL DEFAULT 'UTC',
    appointment_capacity integer NOT NULL DEFAULT 1 CHECK (appointment_capacity > 0),
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN organisations.time_zone IS 'IANA name; opening hours are local to it';
COMMENT ON COLUMN organisations.appointment_capacity IS 'how many appointments may overlap at any instant';
ALTER TABLE organisations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organisations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organisations
    USING (id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE ON organisations TO parlance_engine;

CREATE TABLE opening_hours (
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    weekday smallint NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    opens_minute smallint NOT NULL CHECK (opens_minute BETWEEN 0 AND 1439),
    closes_minute smallint NOT NULL CHECK (closes_minute BETWEEN 1 AND 2880),
    PRIMARY KEY (organisation_id, weekday, opens_minute),
    CHECK (closes_minute > opens_minute)
);
COMMENT ON COLUMN opening_hours.weekday IS 'ISO: 1 is Monday, 7 is Sunday';
COMMENT ON COLUMN opening_hours.opens_minute IS 'minutes after local midnight of that weekday';
COMMENT ON COLUMN opening_hours.closes_minute IS 'the same; above 1440 is the early morning of the next day';
ALTER TABLE opening_hours ENABLE ROW LEVEL SECURITY;
ALTER TABLE opening_hours FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON opening_hours
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT, DELETE ON opening_hours TO parlance_engine;
