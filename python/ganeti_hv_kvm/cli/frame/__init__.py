"""What all commands have in common: exit status, errors, tables, options, what is written where."""
