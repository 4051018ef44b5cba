REVOKE UPDATE (state, start_time, end_time, etag, update_time) ON appointments FROM parlance_engine;
ALTER TABLE appointments DROP COLUMN etag, DROP COLUMN update_time;
