"""Records, supports, protocols, results and files: knows nothing above itself."""
