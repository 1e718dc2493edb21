"""The main job shown: Ganeti starts a real guest through this project's module."""
