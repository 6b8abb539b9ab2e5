-- How every region did on every day.
--
-- on_time_share: of that day's deliveries, the part that met its promise.
-- mean_dwell_hours: how long shipments stood still after they ARRIVED, until their next event.

SELECT
    coalesce(region, 'unknown') AS region,
    CAST(event_timestamp AS DATE) AS day,
    count(*) AS events,
    count(DISTINCT shipment_id) AS shipments,
    avg(CASE WHEN event_type = 'DELIVERED' THEN CASE WHEN is_late THEN 0 ELSE 1 END END) AS on_time_share,
    avg(CASE WHEN event_type = 'ARRIVED' THEN epoch_us(status_duration) END) / 3.6e9 AS mean_dwell_hours,
    count(CASE WHEN event_type = 'EXCEPTION' OR status = 'EXCEPTION' THEN 1 END) AS exceptions
FROM shipment_timeline
GROUP BY coalesce(region, 'unknown'), CAST(event_timestamp AS DATE)
