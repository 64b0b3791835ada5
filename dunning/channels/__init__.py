"""Ways out: email to customers, and signed calls to the merchant's own application."""
