ALTER TABLE calls DROP COLUMN extracted_variables;
