#!/usr/bin/env python
"""Run a management command, with the embedded servers that it needs."""

import os
import sys

from referral_site.command_line import run_command

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "referral_site.settings")
    run_command(sys.argv)
