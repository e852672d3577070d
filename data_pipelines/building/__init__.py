"""From a publisher's files to records on disk, and the verification of these."""
