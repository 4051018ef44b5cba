-- Overlaps up to the organisation's capacity are allowed, so no constraint can say the rule: bookings of one
-- organisation are made one at a time under a lock on its row.
CREATE TABLE appointments (
    id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL REFERENCES organisations ON DELETE CASCADE,
    call_id uuid,
    idempotency_key text NOT NULL,
    customer_name text NOT NULL,
    customer_phone text,
    party_size integer NOT NULL CHECK (party_size > 0),
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    notes text NOT NULL DEFAULT '',
    state text NOT NULL CHECK (state IN ('booked', 'cancelled')),
    create_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organisation_id, idempotency_key),
    -- No cascade: an appointment outlives its call, so whoever deletes a call clears the reference first.
    FOREIGN KEY (organisation_id, call_id) REFERENCES calls (organisation_id, id),
    CHECK (end_time > start_time)
);
CREATE INDEX appointments_page ON appointments (organisation_id, start_time, id);
CREATE INDEX appointments_call ON appointments (call_id);
ALTER TABLE appointments ENABLE ROW LEVEL SECURITY;
ALTER TABLE appointments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON appointments
    USING (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid)
    WITH CHECK (organisation_id = NULLIF(current_setting('app.organization', true), '')::uuid);
GRANT SELECT, INSERT ON appointments TO parlance_engine;
