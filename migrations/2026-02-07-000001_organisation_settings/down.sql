DROP FUNCTION list_organisations(uuid, bigint);
DROP POLICY listing ON organisations;
ALTER TABLE organisations
    DROP COLUMN instructions, DROP COLUMN etag, DROP COLUMN sessions_max, DROP COLUMN calls_per_minute;
