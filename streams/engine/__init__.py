"""The engine: folds records into state and commits exactly once. It knows no survey, no stage and no settings file."""
