"""Settings from the environment and policies from a file; refused as a whole if wrong."""

from dunning.config.books import Books, describe_books
from dunning.config.environment import read_environment
from dunning.config.house_rules import describe_rules
from dunning.config.json_schema import schema
from dunning.config.lint import RULES, SUBJECTS, LintWarning, lint
from dunning.config.policy_file import (
    PolicyFile,
    load_policies,
    load_policy_file,
    read_policy_text,
)
from dunning.config.secret import Secret, Url, safe_url
from dunning.config.sentences import describe
from dunning.config.settings import NAMES, Settings, load_settings, needed
from dunning.config.staff import Alert, StaffTerms, describe_staff
from dunning.config.stripe_keys import Source

__all__ = [
    "NAMES",
    "RULES",
    "SUBJECTS",
    "Alert",
    "Books",
    "LintWarning",
    "PolicyFile",
    "Secret",
    "Settings",
    "Source",
    "StaffTerms",
    "Url",
    "describe",
    "describe_books",
    "describe_rules",
    "describe_staff",
    "lint",
    "load_policies",
    "load_policy_file",
    "load_settings",
    "needed",
    "read_environment",
    "read_policy_text",
    "safe_url",
    "schema",
]
