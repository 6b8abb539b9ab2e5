"""What runs the SQL. One module per engine, one Protocol for all."""
