"""scikit-learn estimators: thin, no mathematics in them."""
