"""The page in a real browser: Chromium of the system, driven by playwright."""
