"""What is wrong with the settings, apart from the settings, so that it is light to import."""

from __future__ import annotations


class SettingsError(Exception):
    """Settings are wrong; `faults` holds one line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
