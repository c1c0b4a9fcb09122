"""Images of the web: fetched from public addresses, in a bounded pool, with retries and limits."""
