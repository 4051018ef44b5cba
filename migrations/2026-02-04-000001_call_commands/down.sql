DROP FUNCTION sweep_call_commands();
DROP TABLE call_commands;
