"""`strandline bench`: what an increment costs against the full recompute, on this machine, with parity.

data.py      the events: a base and the batches that follow, from the row's number alone
measure.py   one measurement each, in a process of its own
plan.py      which measurements make a benchmark, and the result they add up to
charts.py    bars as SVG text
report.py    the result as Markdown and as one self-contained HTML page
"""
