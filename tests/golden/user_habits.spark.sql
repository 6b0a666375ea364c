-- tiles of user_habits
WITH `#events` AS (
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
),
`#base` AS (
  SELECT
    `user`,
    `#tile`,
    CAST(COUNT(1) AS BIGINT) AS `count`,
    CAST(SUM(`amount`) AS DOUBLE) AS `sum_amount`,
    CAST(COUNT(`amount`) AS BIGINT) AS `count_amount`,
    CAST(SUM(CASE WHEN `paid` THEN `amount` END) AS DOUBLE) AS `sum_amount_b10b2003`,
    CAST(COUNT(CASE WHEN `paid` THEN `amount` END) AS BIGINT) AS `count_amount_b10b2003`,
    CAST(MAX(CASE WHEN (`colour`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'tie', `id`, 'value', `colour`) END).`at` AS BIGINT) AS `last_colour_1b075b56__at`,
    CAST(MAX(CASE WHEN (`colour`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'tie', `id`, 'value', `colour`) END).`tie` AS STRING) AS `last_colour_1b075b56__tie`,
    CAST(MAX(CASE WHEN (`colour`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'tie', `id`, 'value', `colour`) END).`value` AS STRING) AS `last_colour_1b075b56`
  FROM `#events`
  GROUP BY `user`, `#tile`
),
`tally_colour` AS (
  SELECT
    `user`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `tally_colour`
  FROM (
    SELECT
      `user`,
      `#tile`,
      `#in` AS `#sub_key`,
      COUNT(*) AS `#number`
    FROM (
      SELECT
        `user`,
        `#tile`,
        REPLACE(REPLACE(`colour`, '\\', '\\s'), ',', '\\c') AS `#in`
      FROM `#events`
    )
    WHERE `#in` IS NOT NULL
    GROUP BY `user`, `#tile`, `#sub_key`
  )
  GROUP BY `user`, `#tile`
),
`registers_shop` AS (
  SELECT
    `user`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `registers_shop`
  FROM (
    SELECT
      `user`,
      `#tile`,
      SUBSTRING(`#in`, 1, 3) AS `#sub_key`,
      MAX(52 - 4 * LENGTH(TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13))) + CASE WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '8' THEN 1 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '4' THEN 2 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '2' THEN 3 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '1' THEN 4 ELSE 1 END) AS `#number`
    FROM (
      SELECT
        `user`,
        `#tile`,
        MD5(CAST(`shop` AS STRING)) AS `#in`
      FROM `#events`
    )
    WHERE `#in` IS NOT NULL
    GROUP BY `user`, `#tile`, `#sub_key`
  )
  GROUP BY `user`, `#tile`
)
SELECT
  `user`,
  TIMESTAMP_MILLIS(`#tile`) AS `tile_start`,
  `count`,
  `sum_amount`,
  `count_amount`,
  `sum_amount_b10b2003`,
  `count_amount_b10b2003`,
  `last_colour_1b075b56__at`,
  `last_colour_1b075b56__tie`,
  `last_colour_1b075b56`,
  `tally_colour`,
  `registers_shop`
FROM `#base`
LEFT JOIN `tally_colour` USING (`user`, `#tile`)
LEFT JOIN `registers_shop` USING (`user`, `#tile`);
