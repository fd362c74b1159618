"""Agents: one file each, with a frozen config, `init`, `act`, `update` and `diagnose`. Import them from their files."""
