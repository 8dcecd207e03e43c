"""The avatar page: a small web server, and what the browser needs (built from ``src`` into ``static`` by esbuild)."""
