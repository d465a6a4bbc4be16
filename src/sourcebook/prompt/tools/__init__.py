"""What a model may have run: functions, described web services, MCP servers, our own search and tables."""
