"""`strandline demo sales`: the same Polars code over everything and over only what is new.

measured.py  one measurement each, in a process of its own
plan.py      which measurements make the benchmark, parity, and the result they add up to
report.py    the result as Markdown and as one self-contained HTML page
"""
