"""The sales template: cumulative archives, a Polars model, publication to SQLite."""
