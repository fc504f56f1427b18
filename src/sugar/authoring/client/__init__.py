"""LLM client: typed requests, providers, retries, a journal of answers, and sharding over workers."""
