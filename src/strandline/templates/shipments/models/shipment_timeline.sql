-- One row per event of every shipment, with what is known around it.
--
-- Written as if all data were there; Strandline keeps the table up to date from what changed.
-- Every window runs over one shipment in the order of its events; event_id settles equal timestamps.

WITH changes AS (
    -- status_began: the event's own time where it brought a new status, otherwise NULL.
    SELECT
        event_id, shipment_id, event_timestamp, event_type, status, location_id, package_id, promised_at,
        CASE WHEN lag(status) OVER w IS DISTINCT FROM status THEN event_timestamp END AS status_began
    FROM shipment_events
    WINDOW w AS (PARTITION BY shipment_id ORDER BY event_timestamp, event_id)
),

timeline AS (
    SELECT
        event_id, shipment_id, event_timestamp, event_type, status, location_id, package_id, promised_at,
        row_number() OVER w AS event_sequence,
        lag(location_id) OVER w AS previous_location_id,
        lag(location_id) OVER w IS DISTINCT FROM location_id AS location_changed,
        event_timestamp - lag(event_timestamp) OVER w AS time_since_prev_event,
        date_diff('second', first_value(event_timestamp) OVER w, event_timestamp) / 3600.0
            AS cumulative_transit_hours,
        -- how long the status has lasted when the next event comes: on its last event, until it changes
        date_diff('second', last_value(status_began IGNORE NULLS) OVER w, lead(event_timestamp) OVER w) / 3600.0
            AS hours_in_status,
        -- from this event to the next one; open (NULL) for the shipment's last event
        lead(event_timestamp) OVER w - event_timestamp AS status_duration,
        count(CASE WHEN event_type = 'EXCEPTION' OR status = 'EXCEPTION' THEN 1 END) OVER w
            AS exceptions_so_far
    FROM changes
    WINDOW w AS (PARTITION BY shipment_id ORDER BY event_timestamp, event_id)
)

SELECT
    t.event_id,
    t.shipment_id,
    t.event_timestamp,
    t.event_sequence,
    t.event_type,
    t.status,
    t.location_id,
    l.location_name,
    l.region,
    t.previous_location_id,
    t.location_changed,
    t.time_since_prev_event,
    t.cumulative_transit_hours,
    t.hours_in_status,
    t.status_duration,
    t.exceptions_so_far,
    t.event_timestamp > t.promised_at AS is_late,
    p.service_level
FROM timeline t
LEFT JOIN locations l ON l.location_id = t.location_id
LEFT JOIN packages p ON p.package_id = t.package_id
