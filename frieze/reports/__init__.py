"""Pages that open without a server: reports, maps, audits."""
