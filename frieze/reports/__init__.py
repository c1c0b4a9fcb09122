"""Pages and pictures: reports, maps, audits."""
