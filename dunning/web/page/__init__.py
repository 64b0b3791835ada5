"""The customer's page: what is owed, why, what comes next, and the buttons that mend it."""
