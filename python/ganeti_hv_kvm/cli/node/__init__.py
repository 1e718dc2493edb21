"""What lies on this node: files, processes, monitors. Nothing here imports Ganeti."""
