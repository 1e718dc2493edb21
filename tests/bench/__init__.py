"""Speed, measured against others in one run; see docs/performance.md."""
