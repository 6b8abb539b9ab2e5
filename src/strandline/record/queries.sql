-- name: create
CREATE SCHEMA IF NOT EXISTS strandline;
CREATE SCHEMA IF NOT EXISTS strandline_data;
CREATE SCHEMA IF NOT EXISTS strandline_state;
CREATE TABLE IF NOT EXISTS strandline.tables (name VARCHAR, definition JSON);
CREATE TABLE IF NOT EXISTS strandline.models (name VARCHAR, sql VARCHAR, position BIGINT, definition JSON);
CREATE TABLE IF NOT EXISTS strandline.batches (
    batch_seq BIGINT, batch_id UUID, kind VARCHAR, started_at TIMESTAMP, finished_at TIMESTAMP,
    rows_in BIGINT, rows_out BIGINT, seconds DOUBLE, status VARCHAR);
CREATE TABLE IF NOT EXISTS strandline.checkpoints (
    checkpoint_id UUID, batch_id UUID, last_processed_timestamp TIMESTAMP, last_update_time TIMESTAMP,
    process_type VARCHAR, status VARCHAR, positions JSON);
CREATE TABLE IF NOT EXISTS strandline.stage_runs (
    batch_id UUID, model VARCHAR, stage VARCHAR, operator VARCHAR, strategy VARCHAR, reason VARCHAR,
    rows_in BIGINT, rows_out BIGINT, seconds DOUBLE);
CREATE TABLE IF NOT EXISTS strandline.fills (
    model VARCHAR, batch_seq BIGINT, created BOOLEAN, rows BIGINT, seconds DOUBLE);
ALTER TABLE strandline.stage_runs ADD COLUMN IF NOT EXISTS removing BOOLEAN;
ALTER TABLE strandline.fills ADD COLUMN IF NOT EXISTS plain BOOLEAN;
CREATE TABLE IF NOT EXISTS strandline.files (
    file_id BIGINT, source VARCHAR, table_name VARCHAR, path VARCHAR, size BIGINT, sha256 VARCHAR,
    rows BIGINT, rejected BIGINT, status VARCHAR, modified_ns BIGINT, batch_seq BIGINT, recorded_at TIMESTAMP);
ALTER TABLE strandline.files ADD COLUMN IF NOT EXISTS content VARCHAR;
CREATE TABLE IF NOT EXISTS strandline.quarantine (
    quarantine_id UUID, batch_id UUID, table_name VARCHAR, file VARCHAR, line BIGINT, reason VARCHAR,
    raw VARCHAR, status VARCHAR, quarantined_at TIMESTAMP);
CREATE TABLE IF NOT EXISTS strandline.superseded (file_id BIGINT, key_hash UBIGINT);
CREATE TABLE IF NOT EXISTS strandline.checks (
    check_id UUID, batch_seq BIGINT, checked_at TIMESTAMP, kind VARCHAR, model VARCHAR, ok BOOLEAN, sample DOUBLE,
    rows BIGINT, expected_rows BIGINT, missing BIGINT, extra BIGINT, seconds DOUBLE);

-- name: tables
SELECT name, definition FROM strandline.tables ORDER BY name;

-- name: models
SELECT name, sql, definition FROM strandline.models ORDER BY position;

-- name: stamp
SELECT * FROM
    (SELECT count(*), bit_xor(hash(hash(name, definition))) FROM strandline.tables) AS t(tables, tables_hash),
    (SELECT count(*), bit_xor(hash(hash(name, sql, position, definition))) FROM strandline.models)
        AS m(models, models_hash);

-- name: definition
SELECT definition FROM strandline.models WHERE lower(name) = lower(?);

-- name: put_table
INSERT INTO strandline.tables VALUES (?, ?);

-- name: drop_table
DELETE FROM strandline.tables WHERE lower(name) = lower(?);

-- name: put_model
INSERT INTO strandline.models SELECT ?, ?, coalesce(max(position), 0) + 1, ? FROM strandline.models;

-- name: change_model
UPDATE strandline.models SET sql = ?, definition = ? WHERE lower(name) = lower(?);

-- name: drop_model
DELETE FROM strandline.models WHERE lower(name) = lower(?);

-- name: last_batch
SELECT coalesce(max(batch_seq), 0) FROM strandline.batches;

-- name: last_base
SELECT coalesce(max(batch_seq), 0) FROM strandline.batches WHERE kind = 'base';

-- name: put_batch
INSERT INTO strandline.batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'committed');

-- name: put_stage_run
INSERT INTO strandline.stage_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: put_checkpoint
INSERT INTO strandline.checkpoints VALUES (?, ?, ?, ?, ?, 'committed', ?);

-- name: put_check
INSERT INTO strandline.checks VALUES (?, ?, ?, 'parity', ?, ?, ?, ?, ?, ?, ?, ?);

-- name: since_check
SELECT count(*) FILTER (WHERE batch_seq > checked.seq), epoch(? - checked.at)::DOUBLE
FROM strandline.batches,
    (SELECT coalesce(max(batch_seq), 0) AS seq, max(checked_at) AS at FROM strandline.checks) AS checked
GROUP BY checked.at;

-- name: next_file_id
SELECT coalesce(max(file_id), 0) + 1 FROM strandline.files;

-- name: put_file
INSERT INTO strandline.files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '');

-- name: finish_file
UPDATE strandline.files SET rows = ?, rejected = ?, status = ? WHERE file_id = ?;

-- name: files
SELECT source, table_name, path, size, sha256, rows, rejected, status, modified_ns, file_id,
    coalesce(content, '') AS content
FROM strandline.files QUALIFY row_number() OVER (PARTITION BY source, path ORDER BY file_id DESC) = 1
ORDER BY file_id;

-- name: put_content
UPDATE strandline.files SET content = ? WHERE file_id = ?;

-- name: path_of_file
SELECT source, path FROM strandline.files WHERE file_id = ?;

-- name: newest_file
SELECT max(file_id) FROM strandline.files WHERE source = ? AND path = ?;

-- name: move_file
UPDATE strandline.files SET path = ? WHERE source = ? AND path = ?;

-- name: move_rejects
UPDATE strandline.quarantine SET file = ?
WHERE table_name = ? AND file = ? AND batch_id IN (
    SELECT b.batch_id FROM strandline.files f JOIN strandline.batches b USING (batch_seq)
    WHERE f.source = ? AND f.path = ?);

-- name: forget_superseded
DELETE FROM strandline.superseded WHERE file_id = ?;

-- name: forget_superseded_of_table
DELETE FROM strandline.superseded
WHERE file_id IN (SELECT file_id FROM strandline.files WHERE lower(table_name) = lower(?));

-- name: put_rejects
INSERT INTO strandline.quarantine
SELECT quarantine_id, batch_id, table_name, file, line, reason, raw, 'held', quarantined_at FROM incoming;

-- name: count_held
SELECT count(*) FROM strandline.quarantine WHERE status = 'held';

-- name: release_reject
UPDATE strandline.quarantine SET status = 'released' WHERE quarantine_id = ?;

-- name: replace_rejects
UPDATE strandline.quarantine SET status = 'replaced'
WHERE status = 'held' AND table_name = ? AND file = ? AND batch_id IN (
    SELECT b.batch_id FROM strandline.files f JOIN strandline.batches b USING (batch_seq)
    WHERE f.source = ? AND f.path = ?);

-- name: put_fill
INSERT INTO strandline.fills VALUES (?, getvariable('strandline_batch')::BIGINT, ?, ?, ?, ?);

-- name: last_fills
SELECT coalesce(plain, FALSE) AS plain, rows, seconds FROM strandline.fills WHERE model = ?
QUALIFY row_number() OVER (PARTITION BY coalesce(plain, FALSE) ORDER BY batch_seq DESC) <= 3
ORDER BY batch_seq DESC;

-- name: fills_in_a_row
SELECT count(*) FROM strandline.fills
WHERE model = ? AND NOT created AND batch_seq > (
    SELECT coalesce(max(b.batch_seq), 0) FROM strandline.stage_runs s JOIN strandline.batches b USING (batch_id)
    WHERE s.model = ? AND s.removing IS NOT NULL);

-- name: refreshes_of_model
SELECT max(s.rows_in), arg_min(s.removing, s.stage), sum(s.seconds)
FROM strandline.stage_runs s JOIN strandline.batches b USING (batch_id)
WHERE s.model = ? AND b.batch_seq > (
    SELECT coalesce(max(batch_seq), 0) FROM strandline.fills f WHERE f.model = ? AND f.created)
GROUP BY b.batch_seq HAVING count(s.removing) = count(*) ORDER BY b.batch_seq DESC LIMIT 24;

-- name: runs_of_stage
SELECT rows_in, rows_out, seconds, strategy FROM strandline.stage_runs WHERE stage = ? ORDER BY batch_id DESC LIMIT 20;
