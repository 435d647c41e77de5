-- Made-up sales for sales-parquet.yaml, always the same: psql "$SHOP_DSN" -f jobspecs/samples/sales.sql
DROP TABLE IF EXISTS sales;
CREATE TABLE sales (
    id bigint PRIMARY KEY,
    sold_at timestamptz NOT NULL,
    sku text NOT NULL,
    quantity integer NOT NULL,
    price numeric(10, 2) NOT NULL,
    discount numeric(5, 4),
    returned boolean NOT NULL,
    note text
);
INSERT INTO sales
SELECT n,
       timestamptz '2026-01-01 00:00:00+00' + n * interval '13 minutes',
       'P' || lpad((n % 20 + 1)::text, 3, '0'),
       n % 7 + 1,
       (n * 7919 % 100000) / 100.0,
       CASE WHEN n % 5 = 0 THEN (n % 1000) / 10000.0 END,
       n % 50 = 0,
       CASE n % 4 WHEN 0 THEN '' WHEN 1 THEN 'said "yes", then' || chr(10) || 'no' WHEN 2 THEN 'Grüße' END
FROM generate_series(1, 10000) AS n;
