"""The command line: one file for each verb; wording and exit codes live here."""
