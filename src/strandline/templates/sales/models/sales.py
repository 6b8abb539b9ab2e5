"""Sales by day, maturity, SKU group and locality: plain Polars, over any number of days.

Strandline gives `processed_sales` all rows of the days that changed; a full run gives `process` all rows
there are. Money is counted in cents, so that equal sums are equal in whatever order they were added.
"""

import polars as pl

import strandline as sl

KEY = ["client_id", "transaction_date", "maturity_date", "sku_group", "local"]
DAY = ["client_id", "transaction_date"]
IMPUTED_DAYS = 3


@sl.model(
    keys=["transaction_date"],
    inputs=["transactions_client_1", "transactions_client_2"],
    lookup=["sku_groups", "us_zip_codes"],
)
def processed_sales(
    client_1: pl.LazyFrame, client_2: pl.LazyFrame, sku_groups: pl.LazyFrame, us_zip_codes: pl.LazyFrame
) -> pl.LazyFrame:
    named = [
        frame.with_columns(client_id=pl.lit(name))
        for name, frame in (("client_1", client_1), ("client_2", client_2))
    ]
    return process(pl.concat(named), sku_groups, us_zip_codes)


def process(transactions: pl.LazyFrame, sku_groups: pl.LazyFrame, us_zip_codes: pl.LazyFrame) -> pl.LazyFrame:
    """The whole transformation; both pipelines of the benchmark call it."""
    return aggregated(cleaned(transactions, sku_groups, us_zip_codes))


def cleaned(transactions: pl.LazyFrame, sku_groups: pl.LazyFrame, us_zip_codes: pl.LazyFrame) -> pl.LazyFrame:
    """One row per transaction: dates in order, ZIP normalised, SKU group and state looked up."""
    day, due, raw = pl.col("transaction_date"), pl.col("maturity_date"), pl.col("zip_code_raw")
    return (
        transactions.select(
            *DAY,
            "sku_id",
            quantity=pl.col("quantity_sold").cast(pl.Int64),
            # exact: an amount with two digits, as a double, is nearest to just one number of cents
            cents=(pl.col("revenue_usd").cast(pl.Float64) * 100).round().cast(pl.Int64),
            maturity_date=pl.max_horizontal(due.fill_null(day + pl.duration(days=IMPUTED_DAYS)), day),
            maturity_imputed=due.is_null(),
            maturity_clamped=(due < day).fill_null(value=False),
            zip_missing=raw.is_null(),
            zip_code=normalised(raw),
        )
        .join(sku_groups.select("sku_id", "sku_group"), on="sku_id", how="left")
        .join(us_zip_codes.select("zip_code", "state", "is_us"), on="zip_code", how="left")
        .with_columns(
            sku_group=pl.col("sku_group").fill_null("unknown"),
            sku_unknown=pl.col("sku_group").is_null(),
            local=(pl.col("state") == "CA").fill_null(value=False),
            zip_international=(~pl.col("is_us")).fill_null(value=False),
            zip_unknown=pl.col("is_us").is_null() & ~pl.col("zip_missing"),
        )
    )


def normalised(raw: pl.Expr) -> pl.Expr:
    """Five digits out of `90210-1234`, `90 210`, `CA90210`; `00000` for international marks."""
    five = raw.str.replace_all(" ", "", literal=True).str.extract("([0-9]{5})", 1)
    return pl.when(raw.str.starts_with("INTL")).then(pl.lit("00000")).otherwise(five)


def aggregated(rows: pl.LazyFrame) -> pl.LazyFrame:
    """One row per key, with its place in the day, and the counts of what had to be repaired."""
    counted = ["maturity_imputed", "maturity_clamped", "zip_missing", "zip_international", "zip_unknown"]
    groups = rows.group_by(KEY).agg(
        pl.col("quantity").sum().alias("total_quantity"),
        pl.col("cents").sum(),
        pl.len().cast(pl.Int64).alias("order_count"),
        *(pl.col(name).sum().cast(pl.Int64) for name in (*counted, "sku_unknown")),
    )
    orders, cents = pl.col("order_count"), pl.col("cents")
    return groups.select(
        *KEY,
        "total_quantity",
        (cents / 100).cast(pl.Decimal(18, 2)).alias("total_revenue"),
        "order_count",
        (pl.col("total_quantity") / orders).alias("avg_quantity_per_order"),
        (cents / 100 / orders).alias("avg_order_value"),
        (pl.col("maturity_date") - pl.col("transaction_date")).dt.total_days().alias("days_to_maturity"),
        (cents / cents.sum().over(DAY)).alias("revenue_share_of_day"),
        cents.rank("dense", descending=True).over(DAY).cast(pl.Int64).alias("revenue_rank"),
        *counted,
        "sku_unknown",
    )
