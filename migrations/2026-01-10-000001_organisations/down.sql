DROP TABLE opening_hours;
DROP TABLE organisations;
REVOKE USAGE ON SCHEMA parlance FROM parlance_engine;
