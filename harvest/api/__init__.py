"""The JSON API for dashboards, read-only: runs, events, and how it all stands.

Django REST framework, with what the admin shows and filters by. docs/api.md shows how to use it.
"""
