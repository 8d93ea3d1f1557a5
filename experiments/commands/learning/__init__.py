"""Commands that find a policy or a rule, and hand it on."""
