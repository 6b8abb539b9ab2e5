"""What a query does, told from its text: the operators that docs/coverage.md counts."""

from __future__ import annotations

import re

LISTED: dict[str, tuple[tuple[str, str], ...]] = {
    "Expressions": (
        ("CASE, IF, COALESCE, NULLIF", r"\b(CASE|IF|COALESCE|NULLIF)\b"),
        ("casts", r"\b(TRY_)?CAST\(|::"),
        ("IN, BETWEEN, LIKE", r"\bIN \((?!\s*SELECT)|\bBETWEEN (?!UNBOUNDED|\d|CURRENT|INTERVAL)|\bI?LIKE\b"),
        ("IS [NOT] NULL, IS [NOT] DISTINCT FROM", r"\bIS (NOT )?(NULL|DISTINCT)"),
        ("COLLATE", r"\bCOLLATE\b"),
        ("intervals and time functions", r"\bINTERVAL\b|date_trunc|time_bucket|EXTRACT|date_diff|strftime"),
        (
            "text functions",
            r"\b(upper|lower|substr|replace|concat_ws|lpad|left|split_part|regexp_\w+|trim)\(",
        ),
        ("structs, lists, maps", r"\{'|\brow\(|struct_pack|\[|\bMAP \{|list_\w+\("),
        ("JSON", r"json|->"),
        ("expressions above aggregates", r"(sum|count|min|max|avg)\([^()]*\)\s*[-+*/|]"),
        ("SELECT DISTINCT", r"SELECT DISTINCT (?!ON)"),
        ("DISTINCT ON", r"DISTINCT ON"),
        ("VALUES", r"\bVALUES\b"),
        ("unnest, LATERAL", r"\bunnest\(|\bLATERAL\b"),
    ),
    "Joins": (
        (
            "inner",
            r"(?<!LEFT )(?<!RIGHT )(?<!FULL )(?<!OUTER )(?<!SEMI )(?<!ANTI )(?<!CROSS )(?<!ASOF )\bJOIN\b",
        ),
        ("left", r"\bLEFT (OUTER )?JOIN\b"),
        ("right", r"\bRIGHT (OUTER )?JOIN\b"),
        ("full", r"\bFULL (OUTER )?JOIN\b"),
        ("cross", r"\bCROSS JOIN\b|FROM \w+( AS)? \w+, \w+"),
        ("semi", r"\bSEMI JOIN\b"),
        ("anti", r"\bANTI JOIN\b"),
        ("USING", r"\bUSING \(|\bNATURAL\b"),
        ("ASOF", r"\bASOF\b"),
        ("non-equi conditions", r"\bON [^()]*(<>|<=|>=|<|>)"),
        ("several tables", r"\bJOIN\b.*\bJOIN\b"),
        ("self join", r"FROM (\w+)( AS)? \w+ (\w+ )?JOIN \1\b"),
    ),
    "Subqueries": (
        ("EXISTS", r"(?<!NOT )\bEXISTS ?\("),
        ("NOT EXISTS", r"\bNOT EXISTS ?\("),
        ("IN", r"(?<!NOT )\bIN \(\s*SELECT"),
        ("NOT IN", r"\bNOT IN \(\s*SELECT"),
        ("ANY, ALL", r"\b(ANY|ALL) \(\s*SELECT"),
        ("scalar", r"(?<!IN )(?<!EXISTS )(?<!ANY )(?<!ALL )(?<!FROM )(?<!JOIN )(?<!AS )\(\s*SELECT"),
        ("in FROM", r"\b(FROM|JOIN) \(\s*SELECT"),
        ("WITH", r"\bWITH (?!RECURSIVE)\w+ AS"),
        ("WITH RECURSIVE", r"\bWITH RECURSIVE"),
    ),
    "Aggregates": (
        ("count", r"\bcount\((?!DISTINCT)"),
        ("sum, avg", r"\b(sum|avg)\((?!DISTINCT)"),
        ("min, max", r"\b(min|max)\("),
        ("stddev, variance", r"\b(stddev|var)\w*\("),
        ("corr, covar, regr", r"\b(corr|covar|regr)\w*\("),
        ("bool_and, bool_or, count_if, bit_*", r"\b(bool_and|bool_or|count_if|bit_(and|or|xor))\("),
        ("arg_min, arg_max", r"\b(arg_min|arg_max|min_by|max_by)\("),
        ("first, last by order", r"\b(first|last|any_value)\("),
        ("count(DISTINCT), sum(DISTINCT)", r"\b(count|sum)\(DISTINCT"),
        ("string_agg, list by order", r"\b(string_agg|list|array_agg)\("),
        ("median, quantiles, mode", r"\b(median|quantile\w*|mode)\(|\bWITHIN GROUP\b"),
        ("approximate", r"\bapprox_\w+\("),
        ("FILTER", r"\)\s*FILTER \("),
        ("GROUPING SETS, ROLLUP, CUBE", r"\b(GROUPING SETS|ROLLUP|CUBE)\b"),
        ("HAVING", r"\bHAVING\b"),
    ),
    "Windows": (
        ("row_number", r"\brow_number\(\)"),
        ("rank, dense_rank, percent_rank, cume_dist", r"\b(rank|dense_rank|percent_rank|cume_dist)\(\)"),
        ("ntile", r"\bntile\("),
        ("lag, lead", r"\b(lag|lead)\("),
        ("first_value, last_value, nth_value", r"\b(first_value|last_value|nth_value)\("),
        (
            "aggregates OVER",
            r"\b(sum|avg|count|min|max|stddev|bool_or|bool_and|string_agg)\([^()]*\)[^,]*? OVER",
        ),
        ("without PARTITION BY", r"OVER \((?!PARTITION)"),
        ("ROWS frames", r"\bROWS (BETWEEN|UNBOUNDED|\d|CURRENT)"),
        ("RANGE frames", r"\bRANGE (BETWEEN|UNBOUNDED|\d|CURRENT|INTERVAL)"),
        ("RANGE of intervals", r"\bRANGE [^)]*INTERVAL"),
        ("GROUPS frames", r"\bGROUPS (BETWEEN|UNBOUNDED|\d|CURRENT)"),
        ("FOLLOWING", r"\bFOLLOWING\b"),
        ("EXCLUDE", r"\bEXCLUDE (CURRENT|GROUP|TIES|NO)"),
        ("IGNORE NULLS", r"\bIGNORE NULLS\b"),
        ("FILTER", r"FILTER \([^()]*(\([^()]*\)[^()]*)*\) OVER"),
        ("several specifications", r"OVER \(([^()]*)\).*OVER \((?!\1\))"),
        (
            "windows over windows or aggregates",
            r"OVER .*FROM \(\s*SELECT.*OVER|GROUP BY.*OVER|OVER.*GROUP BY",
        ),
        (
            "windows over windows of the same partition and order",
            r"OVER \(((?:PARTITION|ORDER) BY [^()]+?)( ROWS[^()]*)?\).*\bFROM \(\s*SELECT.*OVER \(\1[ )]",
        ),
        ("QUALIFY", r"\bQUALIFY\b"),
        ("ORDER BY … LIMIT", r"\bLIMIT \d"),
    ),
    "Set operations": (
        ("UNION ALL", r"\bUNION ALL\b"),
        ("UNION", r"\bUNION (?!ALL)"),
        ("INTERSECT", r"\bINTERSECT (?!ALL)"),
        ("INTERSECT ALL", r"\bINTERSECT ALL\b"),
        ("EXCEPT", r"\bEXCEPT (?!ALL)"),
        ("EXCEPT ALL", r"\bEXCEPT ALL\b"),
    ),
}
_PATTERNS = {
    f"{group}: {name}": re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for group, items in LISTED.items()
    for name, pattern in items
}
NAMES = tuple(_PATTERNS)


def operators_of(sql: str) -> list[str]:
    """The names of what a query does."""
    text = re.sub(r"--[^\n]*", "", sql)
    return [name for name, pattern in _PATTERNS.items() if pattern.search(text)]
