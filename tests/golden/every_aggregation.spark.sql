-- tiles of every_aggregation
WITH `#events` AS (
  SELECT
    *,
    MIN(`amount`) OVER (PARTITION BY `user`, `shop`, `#tile`) AS `#moments_amount`,
    MIN(CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END) OVER (PARTITION BY `user`, `shop`, `#tile`) AS `#moments_items_b10b2003`
  FROM (
    SELECT *
    FROM (
      SELECT *, ROW_NUMBER() OVER (PARTITION BY `id`, `event_time` ORDER BY `user` ASC NULLS FIRST, `shop` ASC NULLS FIRST, `amount` ASC NULLS FIRST, `discount` ASC NULLS FIRST, `items` ASC NULLS FIRST, `paid` ASC NULLS FIRST, `colour` ASC NULLS FIRST, `shipped` ASC NULLS FIRST, `wild` ASC NULLS FIRST) AS `#copy`
      FROM (
        SELECT *, UNIX_MILLIS(`event_time`) AS `#ms`, UNIX_MILLIS(`event_time`) - PMOD(UNIX_MILLIS(`event_time`), 60000L) AS `#tile`
        FROM `events`
        WHERE (`_watermark_ms` IS NULL OR UNIX_MILLIS(`event_time`) - PMOD(UNIX_MILLIS(`event_time`), 60000L) + 59999L > `_watermark_ms`)
      )
    )
    WHERE `#copy` = 1
      AND `user` IS NOT NULL
      AND (`paid` OR (`amount` > 100.0E0D))
  )
),
`#base` AS (
  SELECT
    `user`,
    `shop`,
    `#tile`,
    CAST(COUNT(1) AS BIGINT) AS `count`,
    CAST(COUNT(`discount`) AS BIGINT) AS `count_discount`,
    CAST(COUNT(CASE WHEN `items` >= 10L THEN 1 END) AS BIGINT) AS `count_3b082ee0`,
    CAST(SUM(`items`) AS BIGINT) AS `sum_items`,
    CAST(SUM(`amount`) AS DOUBLE) AS `sum_amount`,
    CAST(COUNT(`amount`) AS BIGINT) AS `count_amount`,
    CAST(SUM(CASE WHEN `colour` = 'red' THEN `amount` END) AS DOUBLE) AS `sum_amount_280906af`,
    CAST(COUNT(CASE WHEN `colour` = 'red' THEN `amount` END) AS BIGINT) AS `count_amount_280906af`,
    CAST(SUM(CASE WHEN ABS(`amount` / NULLIF(CAST(`items` AS DOUBLE), 0D)) <= 1.7976931348623157E308 THEN `amount` / NULLIF(CAST(`items` AS DOUBLE), 0D) END) AS DOUBLE) AS `sum_4363f764`,
    CAST(COUNT(CASE WHEN ABS(`amount` / NULLIF(CAST(`items` AS DOUBLE), 0D)) <= 1.7976931348623157E308 THEN `amount` / NULLIF(CAST(`items` AS DOUBLE), 0D) END) AS BIGINT) AS `count_4363f764`,
    CAST(MIN(`amount`) AS DOUBLE) AS `min_amount`,
    CAST(MIN(`colour`) AS STRING) AS `min_colour`,
    CAST(MAX(`shipped`) AS TIMESTAMP) AS `max_shipped`,
    CAST(MAX(`items`) AS BIGINT) AS `max_items`,
    CAST(COUNT(`amount`) AS BIGINT) AS `moments_amount__n`,
    CAST(MIN(`#moments_amount`) AS DOUBLE) AS `moments_amount__pivot`,
    CAST(SUM((`amount` - `#moments_amount`)) AS DOUBLE) AS `moments_amount__s1`,
    CAST(SUM((`amount` - `#moments_amount`) * (`amount` - `#moments_amount`)) AS DOUBLE) AS `moments_amount__s2`,
    CAST(COUNT(CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END) AS BIGINT) AS `moments_items_b10b2003__n`,
    CAST(MIN(`#moments_items_b10b2003`) AS DOUBLE) AS `moments_items_b10b2003__pivot`,
    CAST(SUM((CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END - `#moments_items_b10b2003`)) AS DOUBLE) AS `moments_items_b10b2003__s1`,
    CAST(SUM((CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END - `#moments_items_b10b2003`) * (CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END - `#moments_items_b10b2003`)) AS DOUBLE) AS `moments_items_b10b2003__s2`,
    CAST(MIN(CASE WHEN (`amount`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'value', `amount`) END).`at` AS BIGINT) AS `first_amount__at`,
    CAST(MIN(CASE WHEN (`amount`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'value', `amount`) END).`value` AS DOUBLE) AS `first_amount`,
    CAST(MAX(CASE WHEN (`colour`) IS NOT NULL AND (`amount` > 0.0E0D) THEN NAMED_STRUCT('at', `#ms`, 'tie', `id`, 'value', `colour`) END).`at` AS BIGINT) AS `last_colour_2a7467cc__at`,
    CAST(MAX(CASE WHEN (`colour`) IS NOT NULL AND (`amount` > 0.0E0D) THEN NAMED_STRUCT('at', `#ms`, 'tie', `id`, 'value', `colour`) END).`tie` AS STRING) AS `last_colour_2a7467cc__tie`,
    CAST(MAX(CASE WHEN (`colour`) IS NOT NULL AND (`amount` > 0.0E0D) THEN NAMED_STRUCT('at', `#ms`, 'tie', `id`, 'value', `colour`) END).`value` AS STRING) AS `last_colour_2a7467cc`,
    CAST(MAX(CASE WHEN (`paid`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'tie', `items`, 'value', `paid`) END).`at` AS BIGINT) AS `last_paid_372127ba__at`,
    CAST(MAX(CASE WHEN (`paid`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'tie', `items`, 'value', `paid`) END).`tie` AS BIGINT) AS `last_paid_372127ba__tie`,
    CAST(MAX(CASE WHEN (`paid`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'tie', `items`, 'value', `paid`) END).`value` AS BOOLEAN) AS `last_paid_372127ba`,
    CAST(MAX(CASE WHEN (CAST(PMOD(UNIX_SECONDS(`shipped`), 86400) DIV 3600 AS BIGINT)) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'value', CAST(PMOD(UNIX_SECONDS(`shipped`), 86400) DIV 3600 AS BIGINT)) END).`at` AS BIGINT) AS `last_0ca41f06__at`,
    CAST(MAX(CASE WHEN (CAST(PMOD(UNIX_SECONDS(`shipped`), 86400) DIV 3600 AS BIGINT)) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'value', CAST(PMOD(UNIX_SECONDS(`shipped`), 86400) DIV 3600 AS BIGINT)) END).`value` AS BIGINT) AS `last_0ca41f06`,
    CAST(COUNT(CASE WHEN `paid` THEN 1 END) AS BIGINT) AS `count_b10b2003`,
    CAST(COUNT(CASE WHEN `paid` THEN `discount` END) AS BIGINT) AS `count_discount_b10b2003`
  FROM `#events`
  GROUP BY `user`, `shop`, `#tile`
),
`tally_colour_8a8e0b9f` AS (
  SELECT
    `user`,
    `shop`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `tally_colour_8a8e0b9f`
  FROM (
    SELECT
      `user`,
      `shop`,
      `#tile`,
      `#in` AS `#sub_key`,
      COUNT(*) AS `#number`
    FROM (
      SELECT
        `user`,
        `shop`,
        `#tile`,
        CASE WHEN `amount` > 0.0E0D THEN REPLACE(REPLACE(`colour`, '\\', '\\s'), ',', '\\c') END AS `#in`
      FROM `#events`
    )
    WHERE `#in` IS NOT NULL
    GROUP BY `user`, `shop`, `#tile`, `#sub_key`
  )
  GROUP BY `user`, `shop`, `#tile`
),
`tally_colour` AS (
  SELECT
    `user`,
    `shop`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `tally_colour`
  FROM (
    SELECT
      `user`,
      `shop`,
      `#tile`,
      `#in` AS `#sub_key`,
      COUNT(*) AS `#number`
    FROM (
      SELECT
        `user`,
        `shop`,
        `#tile`,
        REPLACE(REPLACE(`colour`, '\\', '\\s'), ',', '\\c') AS `#in`
      FROM `#events`
    )
    WHERE `#in` IS NOT NULL
    GROUP BY `user`, `shop`, `#tile`, `#sub_key`
  )
  GROUP BY `user`, `shop`, `#tile`
),
`latest_2_amount_b10b2003` AS (
  SELECT
    `user`,
    `shop`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `latest_2_amount_b10b2003`
  FROM (
    SELECT
      `user`,
      `shop`,
      `#tile`,
      REPLACE(REPLACE(CAST(`#in` AS STRING), '\\', '\\s'), ',', '\\c') AS `#sub_key`,
      `#ms` AS `#number`
    FROM (
      SELECT *, ROW_NUMBER() OVER (PARTITION BY `user`, `shop`, `#tile` ORDER BY `#ms` DESC, `#in` DESC) AS `#rank`
      FROM (
        SELECT
          `user`,
          `shop`,
          `#tile`,
          `#ms`,
          CASE WHEN `paid` THEN `amount` END AS `#in`
        FROM `#events`
      )
      WHERE `#in` IS NOT NULL
    )
    WHERE `#rank` <= 2
  )
  GROUP BY `user`, `shop`, `#tile`
),
`latest_1_colour` AS (
  SELECT
    `user`,
    `shop`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `latest_1_colour`
  FROM (
    SELECT
      `user`,
      `shop`,
      `#tile`,
      REPLACE(REPLACE(`#in`, '\\', '\\s'), ',', '\\c') AS `#sub_key`,
      `#ms` AS `#number`
    FROM (
      SELECT *, ROW_NUMBER() OVER (PARTITION BY `user`, `shop`, `#tile` ORDER BY `#ms` DESC, `#in` DESC) AS `#rank`
      FROM (
        SELECT
          `user`,
          `shop`,
          `#tile`,
          `#ms`,
          `colour` AS `#in`
        FROM `#events`
      )
      WHERE `#in` IS NOT NULL
    )
    WHERE `#rank` <= 1
  )
  GROUP BY `user`, `shop`, `#tile`
),
`registers_id` AS (
  SELECT
    `user`,
    `shop`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `registers_id`
  FROM (
    SELECT
      `user`,
      `shop`,
      `#tile`,
      SUBSTRING(`#in`, 1, 3) AS `#sub_key`,
      MAX(52 - 4 * LENGTH(TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13))) + CASE WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '8' THEN 1 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '4' THEN 2 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '2' THEN 3 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '1' THEN 4 ELSE 1 END) AS `#number`
    FROM (
      SELECT
        `user`,
        `shop`,
        `#tile`,
        MD5(`id`) AS `#in`
      FROM `#events`
    )
    WHERE `#in` IS NOT NULL
    GROUP BY `user`, `shop`, `#tile`, `#sub_key`
  )
  GROUP BY `user`, `shop`, `#tile`
),
`registers_items_b10b2003` AS (
  SELECT
    `user`,
    `shop`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `registers_items_b10b2003`
  FROM (
    SELECT
      `user`,
      `shop`,
      `#tile`,
      SUBSTRING(`#in`, 1, 3) AS `#sub_key`,
      MAX(52 - 4 * LENGTH(TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13))) + CASE WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '8' THEN 1 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '4' THEN 2 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '2' THEN 3 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '1' THEN 4 ELSE 1 END) AS `#number`
    FROM (
      SELECT
        `user`,
        `shop`,
        `#tile`,
        CASE WHEN `paid` THEN MD5(CAST(`items` AS STRING)) END AS `#in`
      FROM `#events`
    )
    WHERE `#in` IS NOT NULL
    GROUP BY `user`, `shop`, `#tile`, `#sub_key`
  )
  GROUP BY `user`, `shop`, `#tile`
),
`buckets_64_amount` AS (
  SELECT
    `user`,
    `shop`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `buckets_64_amount`
  FROM (
    SELECT
      `user`,
      `shop`,
      `#tile`,
      CASE WHEN ABS(`#in`) < 2.2250738585072014E-308D THEN 'z' ELSE CASE WHEN `#in` > 0E0D THEN 'p' ELSE 'n' END || CAST(LEAST(CAST(FLOOR(LOG2(ABS(`#in`))) AS INT), 1023) * 64 + CAST(FLOOR((ABS(`#in`) / POWER(2E0D, LEAST(CAST(FLOOR(LOG2(ABS(`#in`))) AS INT), 1023)) - 1E0D) * 64E0D) AS INT) AS STRING) END AS `#sub_key`,
      COUNT(*) AS `#number`
    FROM (
      SELECT
        `user`,
        `shop`,
        `#tile`,
        `amount` AS `#in`
      FROM `#events`
    )
    WHERE `#in` IS NOT NULL
    GROUP BY `user`, `shop`, `#tile`, `#sub_key`
  )
  GROUP BY `user`, `shop`, `#tile`
),
`buckets_16_items` AS (
  SELECT
    `user`,
    `shop`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `buckets_16_items`
  FROM (
    SELECT
      `user`,
      `shop`,
      `#tile`,
      CASE WHEN ABS(`#in`) < 2.2250738585072014E-308D THEN 'z' ELSE CASE WHEN `#in` > 0E0D THEN 'p' ELSE 'n' END || CAST(LEAST(CAST(FLOOR(LOG2(ABS(`#in`))) AS INT), 1023) * 16 + CAST(FLOOR((ABS(`#in`) / POWER(2E0D, LEAST(CAST(FLOOR(LOG2(ABS(`#in`))) AS INT), 1023)) - 1E0D) * 16E0D) AS INT) AS STRING) END AS `#sub_key`,
      COUNT(*) AS `#number`
    FROM (
      SELECT
        `user`,
        `shop`,
        `#tile`,
        CAST(`items` AS DOUBLE) AS `#in`
      FROM `#events`
    )
    WHERE `#in` IS NOT NULL
    GROUP BY `user`, `shop`, `#tile`, `#sub_key`
  )
  GROUP BY `user`, `shop`, `#tile`
)
SELECT
  `user`,
  `shop`,
  TIMESTAMP_MILLIS(`#tile`) AS `tile_start`,
  `count`,
  `count_discount`,
  `count_3b082ee0`,
  `sum_items`,
  `sum_amount`,
  `count_amount`,
  `sum_amount_280906af`,
  `count_amount_280906af`,
  `sum_4363f764`,
  `count_4363f764`,
  `min_amount`,
  `min_colour`,
  `max_shipped`,
  `max_items`,
  `moments_amount__n`,
  `moments_amount__pivot`,
  `moments_amount__s1`,
  `moments_amount__s2`,
  `moments_items_b10b2003__n`,
  `moments_items_b10b2003__pivot`,
  `moments_items_b10b2003__s1`,
  `moments_items_b10b2003__s2`,
  `first_amount__at`,
  `first_amount`,
  `last_colour_2a7467cc__at`,
  `last_colour_2a7467cc__tie`,
  `last_colour_2a7467cc`,
  `last_paid_372127ba__at`,
  `last_paid_372127ba__tie`,
  `last_paid_372127ba`,
  `last_0ca41f06__at`,
  `last_0ca41f06`,
  `count_b10b2003`,
  `count_discount_b10b2003`,
  `tally_colour_8a8e0b9f`,
  `tally_colour`,
  `latest_2_amount_b10b2003`,
  `latest_1_colour`,
  `registers_id`,
  `registers_items_b10b2003`,
  `buckets_64_amount`,
  `buckets_16_items`
FROM `#base`
LEFT JOIN `tally_colour_8a8e0b9f` USING (`user`, `shop`, `#tile`)
LEFT JOIN `tally_colour` USING (`user`, `shop`, `#tile`)
LEFT JOIN `latest_2_amount_b10b2003` USING (`user`, `shop`, `#tile`)
LEFT JOIN `latest_1_colour` USING (`user`, `shop`, `#tile`)
LEFT JOIN `registers_id` USING (`user`, `shop`, `#tile`)
LEFT JOIN `registers_items_b10b2003` USING (`user`, `shop`, `#tile`)
LEFT JOIN `buckets_64_amount` USING (`user`, `shop`, `#tile`)
LEFT JOIN `buckets_16_items` USING (`user`, `shop`, `#tile`);
