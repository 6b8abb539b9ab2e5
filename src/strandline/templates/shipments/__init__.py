"""The `shipments` template; `generate.py` is copied into the project and used by the demo as it is."""
