-- Where every shipment is now: the last row of its timeline.

SELECT
    shipment_id,
    event_id AS last_event_id,
    event_timestamp AS last_event_at,
    event_sequence AS events,
    event_type,
    status,
    location_id,
    location_name,
    region,
    cumulative_transit_hours,
    exceptions_so_far,
    is_late,
    service_level,
    event_type IN ('DELIVERED', 'RETURNED') AS is_finished
FROM shipment_timeline
QUALIFY row_number() OVER (PARTITION BY shipment_id ORDER BY event_timestamp DESC, event_id DESC) = 1
