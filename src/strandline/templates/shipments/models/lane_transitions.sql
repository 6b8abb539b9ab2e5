-- How often, and how fast, shipments move from one location straight to another.

SELECT
    previous_location_id AS from_location_id,
    location_id AS to_location_id,
    count(*) AS transitions,
    avg(epoch_us(time_since_prev_event)) / 3.6e9 AS mean_hours,
    quantile_cont(epoch_us(time_since_prev_event), 0.95) / 3.6e9 AS p95_hours
FROM shipment_timeline
WHERE location_changed AND previous_location_id IS NOT NULL
GROUP BY previous_location_id, location_id
