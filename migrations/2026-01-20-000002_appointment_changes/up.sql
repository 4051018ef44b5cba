-- Appointments can be cancelled and moved. Who comes, and in which call it was booked, stays as it is.
ALTER TABLE appointments
    ADD COLUMN etag text NOT NULL DEFAULT gen_random_uuid()::text,
    ADD COLUMN update_time timestamptz NOT NULL DEFAULT now();
-- The owner is held to the policy too and would see no rows here: it is let off within this transaction.
ALTER TABLE appointments NO FORCE ROW LEVEL SECURITY;
UPDATE appointments SET update_time = create_time;
ALTER TABLE appointments FORCE ROW LEVEL SECURITY;
COMMENT ON COLUMN appointments.etag IS 'differs after every change';
GRANT UPDATE (state, start_time, end_time, etag, update_time) ON appointments TO parlance_engine;
