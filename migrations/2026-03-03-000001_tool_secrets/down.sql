DROP TABLE tool_secrets;
