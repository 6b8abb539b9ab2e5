-- Queries as people write them, over the tables of fuzz/shop.py. One a paragraph; results must not
-- depend on chance (total orders in row_number, lag and the like).

SELECT status, count(*) AS orders, sum(amount) AS revenue, avg(amount) AS mean FROM orders GROUP BY status;

SELECT c.region, date_trunc('day', o.ordered_at) AS day, sum(o.amount) AS revenue, count(DISTINCT o.customer_id) AS buyers
FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.region, date_trunc('day', o.ordered_at);

SELECT c.id, c.name, coalesce(sum(o.amount), 0) AS spent, count(o.id) AS orders
FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id, c.name;

SELECT c.id, c.name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id);

SELECT id, name FROM products WHERE id NOT IN (SELECT product_id FROM items WHERE product_id IS NOT NULL);

SELECT id, name FROM products WHERE id NOT IN (SELECT product_id FROM items);

SELECT * FROM orders WHERE amount > (SELECT avg(amount) FROM orders);

SELECT o.id, o.amount, o.amount / sum(o.amount) OVER (PARTITION BY o.customer_id) AS share FROM orders o WHERE o.amount > 0;

SELECT o.*, row_number() OVER (PARTITION BY customer_id ORDER BY ordered_at DESC, id) AS recency FROM orders o;

SELECT customer_id, id, amount FROM orders QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY amount DESC, id) = 1;

SELECT customer_id, ordered_at, amount, sum(amount) OVER (PARTITION BY customer_id ORDER BY ordered_at, id) AS running,
  lag(amount) OVER (PARTITION BY customer_id ORDER BY ordered_at, id) AS previous,
  amount - lag(amount) OVER (PARTITION BY customer_id ORDER BY ordered_at, id) AS change FROM orders;

SELECT customer_id, max(ordered_at) AS last_order, min(ordered_at) AS first_order,
  max(ordered_at) - min(ordered_at) AS lifetime FROM orders GROUP BY customer_id HAVING count(*) > 1;

WITH ranked AS (SELECT p.category, p.id, sum(i.qty) AS sold FROM items i JOIN products p ON p.id = i.product_id GROUP BY p.category, p.id)
SELECT category, id, sold, rank() OVER (PARTITION BY category ORDER BY sold DESC) AS place FROM ranked;

WITH ranked AS (SELECT p.category, p.id, sum(i.qty) AS sold FROM items i JOIN products p ON p.id = i.product_id GROUP BY ALL)
SELECT * FROM ranked QUALIFY row_number() OVER (PARTITION BY category ORDER BY sold DESC NULLS LAST, id) <= 3;

SELECT p.category, sum(i.qty * i.price) AS revenue, sum(i.qty) AS units, sum(i.qty * i.price) / nullif(sum(i.qty), 0) AS mean_price
FROM orders o JOIN items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id WHERE o.status <> 'b' GROUP BY p.category;

SELECT c.region, c.segment, count(*) AS n, grouping(c.region) AS all_regions FROM customers c GROUP BY ROLLUP (c.region, c.segment);

SELECT region, segment, count(*) AS n, sum(credit) AS credit FROM customers GROUP BY CUBE (region, segment);

SELECT CASE WHEN amount < 2 THEN 'small' WHEN amount < 5 THEN 'medium' ELSE 'large' END AS size, count(*) AS n, sum(amount) AS total
FROM orders GROUP BY 1;

SELECT status, count(*) FILTER (WHERE amount > 3) AS large, sum(amount) FILTER (WHERE discount IS NULL) AS undiscounted,
  max(amount) FILTER (WHERE customer_id IN (SELECT id FROM customers WHERE active)) AS best FROM orders GROUP BY status;

SELECT customer_id, string_agg(status, ',' ORDER BY ordered_at, id) AS path FROM orders GROUP BY customer_id;

SELECT customer_id, list(id ORDER BY id) AS orders, array_length(list(id ORDER BY id)) AS n FROM orders GROUP BY customer_id;

SELECT median(amount) AS mid, quantile_cont(amount, 0.9) AS p90, stddev_samp(amount) AS spread, mode(length(status)) IS NOT NULL AS any_mode FROM orders;

SELECT user_id, ts, kind, sum(fresh) OVER (PARTITION BY user_id ORDER BY ts, seq) AS session FROM (
  SELECT *, CASE WHEN ts - lag(ts) OVER (PARTITION BY user_id ORDER BY ts, seq) <= INTERVAL 3 HOUR THEN 0 ELSE 1 END AS fresh FROM events);

WITH flagged AS (SELECT *, CASE WHEN ts - lag(ts) OVER w <= INTERVAL 3 HOUR THEN 0 ELSE 1 END AS fresh FROM events WINDOW w AS (PARTITION BY user_id ORDER BY ts, seq)),
numbered AS (SELECT *, sum(fresh) OVER (PARTITION BY user_id ORDER BY ts, seq) AS session FROM flagged)
SELECT user_id, session, min(ts) AS started, max(ts) AS ended, count(*) AS steps, count(DISTINCT kind) AS kinds FROM numbered GROUP BY user_id, session;

SELECT seq, user_id, lead(kind) OVER (PARTITION BY user_id ORDER BY ts, seq) AS next_kind,
  lead(ts) OVER (PARTITION BY user_id ORDER BY ts, seq) - ts AS gap FROM events;

SELECT kind, next_kind, count(*) AS n FROM (SELECT kind, lead(kind) OVER (PARTITION BY user_id ORDER BY ts, seq) AS next_kind FROM events) GROUP BY kind, next_kind;

SELECT seq, avg(value) OVER (PARTITION BY user_id ORDER BY ts, seq ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS smooth,
  max(value) OVER (PARTITION BY user_id ORDER BY ts, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS best_before FROM events;

SELECT seq, count(*) OVER (PARTITION BY kind ORDER BY ts RANGE BETWEEN INTERVAL 6 HOUR PRECEDING AND CURRENT ROW) AS busy FROM events;

SELECT seq, last_value(value IGNORE NULLS) OVER (PARTITION BY user_id ORDER BY ts, seq) AS filled,
  first_value(kind) OVER (PARTITION BY user_id ORDER BY ts, seq) AS first_kind FROM events;

SELECT user_id, count(*) AS n, sum(CASE WHEN kind = 'a' THEN 1 ELSE 0 END) AS a, sum(CASE WHEN kind = 'b' THEN value END) AS b FROM events GROUP BY user_id;

SELECT user_id, min(CASE WHEN kind = 'a' THEN ts END) AS first_a, min(ts) FILTER (WHERE kind = 'b') AS first_b,
  bool_or(kind = 'ab') AS seen FROM events GROUP BY user_id;

SELECT a.user_id, count(*) AS pairs FROM events a JOIN events b ON a.user_id = b.user_id AND b.ts > a.ts AND b.ts <= a.ts + INTERVAL 12 HOUR GROUP BY a.user_id;

SELECT o.id, e.seq FROM orders o LEFT JOIN events e ON e.user_id = o.customer_id AND e.ts BETWEEN o.ordered_at - INTERVAL 4 HOUR AND o.ordered_at;

SELECT o.id, (SELECT max(e.ts) FROM events e WHERE e.user_id = o.customer_id AND e.ts <= o.ordered_at) AS last_seen FROM orders o;

SELECT o.id, (SELECT count(*) FROM items i WHERE i.order_id = o.id) AS lines, (SELECT sum(i.qty * i.price) FROM items i WHERE i.order_id = o.id) AS total FROM orders o;

SELECT o.id, o.amount, t.total FROM orders o LEFT JOIN (SELECT order_id, sum(qty * price) AS total FROM items GROUP BY order_id) t ON t.order_id = o.id
WHERE o.amount IS DISTINCT FROM t.total;

SELECT coalesce(o.id, i.order_id) AS id, o.amount, i.qty FROM orders o FULL JOIN items i ON i.order_id = o.id;

SELECT region FROM customers UNION SELECT category FROM products EXCEPT SELECT status FROM orders;

SELECT id AS x, 'order' AS what FROM orders UNION ALL SELECT product_id, 'item' FROM items UNION ALL SELECT user_id, 'event' FROM events;

SELECT customer_id FROM orders INTERSECT SELECT user_id FROM events;

SELECT DISTINCT c.region, p.category FROM customers c JOIN orders o ON o.customer_id = c.id JOIN items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id;

SELECT DISTINCT ON (customer_id) customer_id, id, status FROM orders ORDER BY customer_id, ordered_at DESC NULLS LAST, id;

SELECT id, amount FROM orders ORDER BY amount DESC NULLS LAST, id LIMIT 5;

SELECT day, revenue, sum(revenue) OVER (ORDER BY day) AS total, revenue - lag(revenue) OVER (ORDER BY day) AS change
FROM (SELECT CAST(ordered_at AS DATE) AS day, sum(amount) AS revenue FROM orders GROUP BY 1);

SELECT CAST(ordered_at AS DATE) AS day, count(*) AS n, sum(count(*)) OVER (ORDER BY CAST(ordered_at AS DATE)) AS total,
  dense_rank() OVER (ORDER BY count(*) DESC) AS place FROM orders GROUP BY CAST(ordered_at AS DATE);

SELECT c.region, sum(o.amount) AS revenue, sum(o.amount) / sum(sum(o.amount)) OVER () AS share FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.region HAVING sum(o.amount) <> 0;

WITH firsts AS (SELECT customer_id, min(CAST(ordered_at AS DATE)) AS cohort FROM orders GROUP BY customer_id)
SELECT f.cohort, CAST(o.ordered_at AS DATE) - f.cohort AS age, count(DISTINCT o.customer_id) AS buyers, sum(o.amount) AS revenue
FROM orders o JOIN firsts f USING (customer_id) GROUP BY 1, 2;

WITH spend AS (SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id)
SELECT c.id, s.total, ntile(4) OVER (ORDER BY s.total DESC NULLS LAST, c.id) AS quartile, percent_rank() OVER (ORDER BY s.total) AS p FROM customers c JOIN spend s ON s.customer_id = c.id;

WITH spend AS (SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id)
SELECT a.customer_id, b.customer_id AS richer FROM spend a JOIN spend b ON b.total > a.total AND b.customer_id <> a.customer_id;

SELECT o.id, c.name, c.region, CASE WHEN c.active THEN o.amount * 0.9 ELSE o.amount END AS net, coalesce(o.discount, 0) AS discount
FROM orders o LEFT JOIN customers c ON c.id = o.customer_id WHERE o.status IN ('a', 'b', 'ab') OR o.status IS NULL;

SELECT upper(trim(name)) AS name, length(name) AS n, substr(name, 1, 1) AS initial, name LIKE 'a%' AS a FROM customers WHERE name IS NOT NULL AND name <> '';

SELECT extract(dow FROM ordered_at) AS dow, extract(hour FROM ordered_at) AS hour, count(*) AS n, avg(discount) AS discount FROM orders GROUP BY ALL;

SELECT c.id, exists(SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.amount > 5) AS big, c.id IN (SELECT user_id FROM events) AS seen FROM customers c;

SELECT c.region, count(*) AS n FROM customers c WHERE c.id IN (SELECT o.customer_id FROM orders o JOIN items i ON i.order_id = o.id GROUP BY o.customer_id HAVING sum(i.qty) > 5) GROUP BY c.region;

SELECT w.name, b.name AS other FROM customers w JOIN customers b ON w.region = b.region AND w.id < b.id;

SELECT o.customer_id, arg_max(o.status, o.ordered_at * 0 + 0) IS NULL AS x FROM (SELECT customer_id, status, extract(day FROM ordered_at) AS ordered_at FROM orders) o GROUP BY 1;

SELECT customer_id, arg_max(status, id) AS last_status, arg_min(amount, id) AS first_amount, first(amount ORDER BY id) AS f, last(amount ORDER BY id) AS l FROM orders GROUP BY customer_id;

SELECT user_id, covar_pop(value, seq) AS cov, corr(value, seq) IS NULL AS flat, var_samp(value) AS v, regr_count(value, seq) AS n FROM events GROUP BY user_id;

SELECT p.id, p.name, p.price, i.qty, i.price - p.price AS markup FROM items i LEFT JOIN products p ON p.id = i.product_id AND p.price < i.price;

SELECT p.category, count(i.line) AS lines, count(DISTINCT i.order_id) AS orders, min(i.price) AS low, max(i.price) AS high FROM products p LEFT JOIN items i ON i.product_id = p.id GROUP BY p.category;

SELECT id, unnest([amount, amount * 2]) AS x FROM orders;

SELECT o.id, x.k FROM orders o, (VALUES (1), (2)) x(k) WHERE o.id % 2 = x.k - 1;

SELECT o.id, s.label FROM orders o JOIN (VALUES ('a', 'open'), ('b', 'done')) s(code, label) ON s.code = o.status;

SELECT count(*) AS n, sum(amount) AS total, min(ordered_at) AS first, max(ordered_at) AS last, count(DISTINCT customer_id) AS buyers FROM orders;

SELECT count(*) AS n FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.region = 'a' AND o.amount BETWEEN 1 AND 6;

SELECT customer_id, count(*) AS n, avg(gap) AS mean_gap FROM (SELECT customer_id, epoch(ordered_at - lag(ordered_at) OVER (PARTITION BY customer_id ORDER BY ordered_at, id)) AS gap FROM orders) GROUP BY customer_id;

SELECT id, status, status IS DISTINCT FROM lag(status) OVER (ORDER BY ordered_at, id) AS changed FROM orders;

WITH changed AS (SELECT id, ordered_at, status, CASE WHEN status IS DISTINCT FROM lag(status) OVER (ORDER BY ordered_at, id) THEN 1 ELSE 0 END AS c FROM orders),
islands AS (SELECT *, sum(c) OVER (ORDER BY ordered_at, id) AS island FROM changed)
SELECT island, min(status) AS status, count(*) AS n, min(ordered_at) AS from_time, max(ordered_at) AS to_time FROM islands GROUP BY island;

SELECT id, ordered_at, row_number() OVER (PARTITION BY customer_id ORDER BY ordered_at, id) - row_number() OVER (PARTITION BY customer_id, status ORDER BY ordered_at, id) AS island FROM orders;

SELECT status, amount, id, cume_dist() OVER (PARTITION BY status ORDER BY amount) AS c, sum(amount) OVER (PARTITION BY status ORDER BY amount, id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS near FROM orders;

SELECT id, nth_value(amount, 2) OVER (PARTITION BY status ORDER BY id) AS second, count(*) OVER () AS n, max(amount) OVER (PARTITION BY status) AS top FROM orders;

SELECT c.id, o.n FROM customers c LEFT JOIN LATERAL (SELECT count(*) AS n FROM orders o WHERE o.customer_id = c.id) o ON TRUE;

SELECT c.id, o.id AS order_id FROM customers c, LATERAL (SELECT id FROM orders WHERE customer_id = c.id ORDER BY ordered_at DESC, id LIMIT 1) o;

SELECT o.id, e.kind FROM orders o ASOF LEFT JOIN (SELECT user_id, max(kind) AS kind, ts FROM events GROUP BY user_id, ts) e ON e.user_id = o.customer_id AND o.ordered_at >= e.ts;

WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 4) SELECT n.x, count(o.id) AS orders FROM n LEFT JOIN orders o ON o.customer_id = n.x GROUP BY n.x;

SELECT * FROM (SELECT status, amount FROM orders) PIVOT (sum(amount) FOR status IN ('a', 'b'));

SELECT id, {'status': status, 'amount': amount} AS packed, [status, upper(status)] AS both_cases FROM orders;

SELECT customer_id, sum(amount) AS total FROM orders WHERE ordered_at >= TIMESTAMP '2024-02-28' AND ordered_at < TIMESTAMP '2024-03-01' GROUP BY customer_id ORDER BY total DESC, customer_id;

SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id ORDER BY total DESC NULLS LAST, customer_id NULLS LAST LIMIT 3;

SELECT c.region, max(t.total) AS best FROM (SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id) t JOIN customers c ON c.id = t.customer_id GROUP BY c.region;

SELECT count(*) AS n FROM (SELECT customer_id FROM orders GROUP BY customer_id HAVING count(*) >= 2);

SELECT avg(n) AS mean, max(n) AS most FROM (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id);

SELECT i.order_id, i.line, o.status, c.name, p.name AS product, i.qty * p.price AS listed FROM items i JOIN orders o ON o.id = i.order_id LEFT JOIN customers c ON c.id = o.customer_id LEFT JOIN products p ON p.id = i.product_id;

SELECT o.status, c.region, sum(i.qty) AS units FROM items i JOIN orders o ON o.id = i.order_id JOIN customers c ON c.id = o.customer_id GROUP BY GROUPING SETS ((o.status), (c.region), ());

SELECT region, count(*) AS n, count(*) * 100.0 / sum(count(*)) OVER () AS pct FROM customers GROUP BY region;

SELECT id, name, CASE WHEN credit >= 5 THEN 'A' WHEN credit IS NULL THEN '?' ELSE 'B' END AS grade, greatest(credit, 1) AS floor1, round(credit, 0) AS r FROM customers WHERE active IS NOT FALSE;

SELECT status, bool_and(amount > 0) AS all_positive, bool_or(discount > 1) AS any_discount, bit_or(id) AS bits FROM orders GROUP BY status;

SELECT product_id, sum(qty) AS q, sum(DISTINCT qty) AS dq, count(DISTINCT price) AS prices FROM items GROUP BY product_id;

SELECT * FROM orders o SEMI JOIN items i ON i.order_id = o.id;

SELECT o.id, o.amount FROM orders o ANTI JOIN items i ON i.order_id = o.id WHERE o.amount IS NOT NULL;

SELECT c.region, o.status, count(*) AS n FROM customers c CROSS JOIN (SELECT DISTINCT status FROM orders) o LEFT JOIN orders x ON x.customer_id = c.id AND x.status = o.status GROUP BY c.region, o.status;

SELECT a.id, b.id AS dup FROM customers a JOIN customers b ON lower(a.name) = lower(b.name) AND a.id <> b.id;

SELECT id FROM orders WHERE (customer_id, status) IN (SELECT user_id, kind FROM events);

SELECT id, amount FROM orders WHERE amount >= ALL (SELECT amount FROM orders WHERE amount IS NOT NULL);

SELECT id FROM orders o WHERE amount > (SELECT avg(x.amount) FROM orders x WHERE x.status = o.status);

SELECT id FROM orders o WHERE 2 <= (SELECT count(*) FROM items i WHERE i.order_id = o.id);

SELECT date_diff('hour', min(ts), max(ts)) AS hours, count(*) AS n, user_id FROM events GROUP BY user_id;

SELECT time_bucket(INTERVAL 6 HOUR, ts) AS slot, kind, count(*) AS n, sum(value) AS total FROM events GROUP BY slot, kind;

SELECT strftime(ts, '%Y-%m-%d') AS day, count(*) AS n FROM events GROUP BY day HAVING n > 1;

SELECT seq, value, value - avg(value) OVER (PARTITION BY kind) AS off, (value - min(value) OVER ()) / nullif(max(value) OVER () - min(value) OVER (), 0) AS scaled FROM events;

SELECT kind, value, seq FROM events QUALIFY value > avg(value) OVER (PARTITION BY kind);

SELECT kind, max(value) - min(value) AS spread, count(value) * 1.0 / count(*) AS filled FROM events GROUP BY kind;

SELECT TRY_CAST(kind AS INTEGER) AS n, regexp_replace(kind, '[ab]', '#') AS r, md5(kind) AS h FROM events;

SELECT e.seq, c.name FROM events e LEFT JOIN customers c ON c.id = e.user_id WHERE c.id IS NULL OR c.active;

FROM orders SELECT customer_id, sum(amount) AS total WHERE status = 'a' GROUP BY customer_id;

SELECT * EXCLUDE (discount) FROM orders;

SELECT * REPLACE (upper(status) AS status) FROM orders;

SELECT amount * 2 AS double_amount, double_amount + 1 AS more FROM orders WHERE double_amount > 4;

SELECT COUNT(*), SUM(amount), status FROM orders GROUP BY status;
