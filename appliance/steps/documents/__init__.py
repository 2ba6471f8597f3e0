"""Documents of people on disk: definitions, locks, policies, overrides and root chains."""
