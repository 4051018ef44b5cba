DROP TABLE audit_log;
DROP FUNCTION sweep_request_answers();
DROP TABLE request_answers;
REVOKE UPDATE ON api_keys FROM parlance_engine;
ALTER TABLE api_keys DROP COLUMN last_use_time, DROP COLUMN display_name;
