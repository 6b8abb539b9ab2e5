-- What had to be repaired, by client and day: a query over the Polars model.
SELECT
    client_id,
    transaction_date,
    sum(order_count)::BIGINT AS transactions,
    sum(maturity_imputed)::BIGINT AS maturity_imputed,
    sum(maturity_clamped)::BIGINT AS maturity_clamped,
    sum(zip_missing)::BIGINT AS zip_missing,
    sum(zip_international)::BIGINT AS zip_international,
    sum(zip_unknown)::BIGINT AS zip_unknown,
    sum(sku_unknown)::BIGINT AS sku_unknown
FROM processed_sales
GROUP BY client_id, transaction_date
