"""Random models, tables and change sequences, checked against plain DuckDB.

    values.py   columns and values of every kind, extremes included
    tables.py   tables and the sequences of changes applied to them
    scope.py    what a query can see: columns, their kinds, what orders them totally
    exprs.py    scalar expressions of a wanted kind
    functions.py text, time, lists, structs, JSON
    constants.py relations written in the query itself
    statistics.py aggregates beyond the usual
    windows.py  window functions and frames
    subqueries.py  subqueries as conditions and values
    froms.py    ASOF, LATERAL, lists and series, VALUES over columns, merged columns
    queries.py  joins, aggregates, set operations, subqueries: whole SELECTs
    world.py    one World: tables, changes, models; all from one seed
    oracle.py   a second DuckDB that only ever runs the plain queries
    compare.py  bags of rows, floats within 1e-9
    check.py    runs a World against Strandline and names what differs
    shrink.py   makes a failing World small
    script.py   writes a World as a Python file that anyone can run
    report.py   writes docs/coverage.md from those counts
    coverage.py counts operators and strategies for docs/coverage.md
    __main__.py python -m fuzz --seeds 0:1000

A World is a pure function of its seed, so a printed seed is a bug report.
"""
