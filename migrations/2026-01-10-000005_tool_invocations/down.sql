DROP TABLE tool_invocations;
