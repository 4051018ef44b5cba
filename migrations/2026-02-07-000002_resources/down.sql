ALTER TABLE appointments DROP COLUMN resource_id;
DROP TABLE resources;
