"""Two years of harvests, made by the database itself: any number of events, twenty a run.

The proportions are such that a hundredth of a million still fills a page of each list, failed and
stale runs and rejected messages among them: pages of different lengths could not be compared.
"""

from __future__ import annotations

import psycopg

#: The registry's own, which don't grow with their harvests.
COLLECTIONS = 5_000

EVENTS_A_RUN = 20
RUNS_A_COLLECTION = 10
EVENTS_A_REJECTED = 100
RESULTS_A_RUN = 2
EVENTS_A_REDRIVE = 100

#: Readings of the queues, twelve an hour: with a million events of 30 days, which is what is kept; at
#: the least of a little more than the day that pages show.
READINGS, FEWEST_READINGS = 30 * 24 * 12, 25 * 12

#: Events of one run that has more of them than a page shows.
LONG_RUN = 200

_STATEMENTS = (
    # A number below choices, by chance but always the same.
    """
    CREATE FUNCTION chance(n bigint, choices int) RETURNS int LANGUAGE sql IMMUTABLE AS
        'SELECT (hashint8(n) & 65535) % choices';
    """,
    # So many times 32 hexadecimal digits, which compress badly.
    """
    CREATE FUNCTION noise(seed bigint, times int) RETURNS text LANGUAGE sql IMMUTABLE AS
        $$SELECT string_agg(md5((seed * 1000 + i)::text), '') FROM generate_series(1, times) i$$;
    """,
    """
    INSERT INTO harvest_collection (id, name, slug, campus_names, harvest_type, mapper_type,
        production_target_version)
    SELECT n, 'Photographs of the ' || lpad(n::text, 6, '0') || 'th family', 'photographs-' || n,
        '["UC Berkeley"]', (ARRAY['OAI', 'ETL', 'API'])[1 + n % 3], 'mapper_' || n % 20, ''
    FROM generate_series(1, {collections}) n;
    """,
    """
    INSERT INTO harvest_harvestrun (id, collection_id, conf_collection_id, dag_id, dag_run_id,
        logical_date, dag_run_conf, host, status, status_source, status_set_at, status_note,
        first_event_at, last_heard_at, failed_since, stale_since, tasks_done, tasks_failed, errors,
        failure_reason, looks, airflow_state, airflow_note, airflow_failures, airflow_error, lost_reason)
    SELECT n, collection, collection,
        (ARRAY['harvest_collection', 'validate_by_mapper_type', 'index_collection'])[1 + n % 3],
        'manual__' || to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), at,
        jsonb_build_object('collection_id', collection), 'https://airflow.example.org',
        (ARRAY['running', 'failed', 'succeeded', 'succeeded', 'succeeded'])[1 + kind],
        CASE WHEN by_hand THEN 'person' ELSE 'events' END, CASE WHEN by_hand THEN at END, '',
        at, at + interval '1 hour', CASE WHEN kind = 1 THEN at + interval '1 hour' END,
        CASE WHEN kind = 0 THEN at + interval '7 hours' END,
        {steps} - 2, (kind = 1)::int, 2 * (kind = 1)::int,
        CASE WHEN kind = 1 THEN 'KeyError: ''isShownAt''' ELSE '' END, 0, '', '', 0, '', ''
    FROM (
        SELECT n, now() - interval '2 years' * ({runs} - n) / {runs} AS at, chance(n, 5) AS kind,
            chance(-n, 5) = 0 AS by_hand, 1 + n % {harvested} AS collection
        FROM generate_series(1, {runs}) n
    ) AS numbered;
    """,
    """
    INSERT INTO harvest_harvesttrigger (collection_id, dag_id, dag_run_id, logical_date, dag_run_conf,
        hostname, state, stdout, stderr, created_at)
    SELECT collection_id, dag_id, dag_run_id, logical_date, '{{}}', 'worker',
        CASE WHEN chance(-id, 4) = 0 THEN 'unknown' ELSE 'accepted' END, '', '', logical_date
    FROM harvest_harvestrun WHERE id % 2 = 0;
    """,
    """
    UPDATE harvest_harvestrun AS run SET harvest_trigger_id = trigger.id
    FROM harvest_harvesttrigger AS trigger WHERE run.dag_run_id = trigger.dag_run_id;
    """,
    """
    INSERT INTO harvest_harvestevent (id, message_id, harvest_run_id, collection_id, sns_timestamp,
        task_id, try_number, map_index, rikolti_message, error, dag_level, outcome, host,
        logical_date, dag_run_conf, sqs_message, sns_message, recorded_at, version)
    SELECT n, md5(n::text)::uuid, (run).id, (run).collection_id, at,
        CASE WHEN NOT ending THEN (ARRAY['fetching.fetch_collection', 'mapping.map_page',
            'mapping.map_page', 'validation.validate_collection', 'merging.merge_children'])
            [1 + step % 5] END,
        CASE WHEN NOT ending THEN 1 END, CASE WHEN NOT ending THEN step END,
        CASE
            WHEN ending AND failed
                THEN '{{"dag_complete": false, "error": true, "reason": "task_failure"}}'
            WHEN ending THEN '{{"dag_complete": true}}'
            WHEN error THEN jsonb_build_object('error', true, 'exception', 'KeyError: ''isShownAt''',
                'traceback', repeat('  File "mapper.py", line ' || n || E', in map\\n', 40))
            WHEN step = 0 THEN jsonb_build_object('record', noise(n, 140))
            ELSE jsonb_build_object('mapped_version', md5(n::text) || '/mapped_metadata')
        END,
        error, ending, CASE WHEN error THEN 'failed' WHEN ending THEN 'succeeded' ELSE 'running' END,
        (run).host, (run).logical_date, (run).dag_run_conf,
        jsonb_build_object('MessageId', md5(n::text), 'ReceiptHandle', md5((-n)::text)),
        jsonb_build_object('Type', 'Notification', 'Signature', noise(-n, 6), 'TopicArn', 'arn:aws:sns'),
        at, ''
    FROM (
        SELECT n, run, run.status = 'failed' AS failed, step,
            step = {steps} - 1 AND run.status <> 'running' AS ending,
            run.status = 'failed' AND step >= {steps} - 2 AS error,
            run.first_event_at + interval '3 minutes' * step AS at
        FROM (
            SELECT n, 1 + (n - 1) / {steps} AS run_id, (n - 1) % {steps} AS step
            FROM generate_series(1, {events}) n
            UNION ALL
            SELECT {events} + n, {long_run}, n % {steps} FROM generate_series(1, {long_run_events}) n
        ) AS numbered
        JOIN harvest_harvestrun AS run ON run.id = run_id
        ORDER BY n
    ) AS told;
    """,
    """
    INSERT INTO harvest_runchange (harvest_run_id, kind, before, source, note, changed_at, quiet, news,
        considered_at)
    SELECT id, status, 'running', 'events', '', last_heard_at, false, '', last_heard_at
    FROM harvest_harvestrun;
    """,
    """
    WITH owner AS (
        INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff,
            is_active, date_joined)
        VALUES ('', false, 'owner', '', '', '', true, true, now()) RETURNING id
    ), subscription AS (
        INSERT INTO harvest_subscription (name, owner_id, active, inactive_reason, kinds, campuses,
            dag_ids, channel, address, given_up, secret_number, created_at)
        SELECT 'all', id, true, '', '[]', '[]', '[]', 'mail', 'ada@example.org', 0, 0, now()
        FROM owner RETURNING id
    )
    INSERT INTO harvest_notice (subscription_id, change_id, kind, content, state, attempts, error,
        created_at, due_at, sent_at)
    SELECT subscription.id, change.id,
        (ARRAY['failed', 'failed', 'stale', 'lost'])[1 + chance(change.id, 4)],
        jsonb_build_object('text', noise(change.id, 20)),
        CASE WHEN chance(-change.id, 5) = 0 THEN 'failed' ELSE 'sent' END, 1, '',
        changed_at, changed_at, changed_at
    FROM harvest_runchange AS change, subscription;
    """,
    """
    INSERT INTO harvest_rejectedmessage (digest, body, body_encoding, reason, error, sqs_message,
        sent_at, first_seen_at, last_seen_at, times_seen, replayed_at)
    SELECT md5(n::text), '{{"Type": "Notification", "MessageId": ' || n || ', ' || noise(n, 50),
        'plain', (ARRAY['not_json', 'wrong_type'])[1 + n % 2], 'Expecting value: line ' || n, '{{}}',
        at, at, at, 1, CASE WHEN n % 4 < 2 THEN at END
    FROM (
        SELECT n, now() - interval '2 years' * ({rejected} - n) / {rejected} AS at
        FROM generate_series(1, {rejected}) n
    ) AS numbered;
    """,
    """
    INSERT INTO harvest_queuereading (queue, source, read_at, visible, in_flight)
    SELECT queue || dead, CASE WHEN dead = '' THEN '' ELSE queue END, now() - interval '5 minutes' * n,
        CASE WHEN dead = '' THEN chance(n, 50) ELSE n % 2 END, 0
    FROM generate_series(1, {readings}) n, unnest(ARRAY['rikolti-events', 'avram-tasks']) queue,
        unnest(ARRAY['', '-dlq']) dead;
    """,
    """
    INSERT INTO harvest_redrive (kind, queue, way, total, taken, rejected, slices, started_at,
        touched_at, ended_at, problem)
    SELECT (ARRAY['events', 'tasks'])[1 + n % 2],
        (ARRAY['rikolti-events-dlq', 'avram-tasks-dlq'])[1 + n % 2], 'singly', 10, 10, 0, 1, at,
        at, at, ''
    FROM (
        SELECT n, now() - interval '2 years' * ({redrives} - n) / {redrives} AS at
        FROM generate_series(1, {redrives}) n
    ) AS numbered;
    """,
    """
    INSERT INTO django_celery_results_taskresult (task_id, task_name, task_args, task_kwargs, status,
        worker, content_type, content_encoding, result, date_created, date_done, meta)
    SELECT md5(n::text)::uuid,
        (ARRAY['harvest.record_event', 'harvest.recompute_run_status'])[1 + n % 2], '"(…)"', '"{{}}"',
        CASE WHEN chance(n, 5) = 0 THEN 'FAILURE' ELSE 'SUCCESS' END, 'celery@worker-' || n % 2,
        'application/json', 'utf-8', '"run ' || n || ': succeeded"', at, at, '{{"children": []}}'
    FROM (
        SELECT n, now() - interval '7 days' * ({results} - n) / {results} AS at
        FROM generate_series(1, {results}) n
    ) AS numbered;
    """,
)


def write(connection: psycopg.Connection[tuple[object, ...]], events: int) -> None:
    """Fill the migrated, empty tables with so many events and all that belongs to them.

    The run that has :data:`LONG_RUN` events more is :func:`long_run`.
    """
    runs = events // EVENTS_A_RUN
    for statement in _STATEMENTS:
        connection.execute(
            statement.format(
                events=events,
                steps=EVENTS_A_RUN,
                runs=runs,
                collections=COLLECTIONS,
                harvested=runs // RUNS_A_COLLECTION,
                rejected=events // EVENTS_A_REJECTED,
                results=runs * RESULTS_A_RUN,
                redrives=events // EVENTS_A_REDRIVE,
                readings=max(READINGS * events // 1_000_000, FEWEST_READINGS),
                long_run=long_run(events),
                long_run_events=LONG_RUN,
            )
        )
    connection.execute("VACUUM ANALYZE")


def long_run(events: int) -> int:
    """Return the id of the run in the middle, which has more events than the others."""
    return events // EVENTS_A_RUN // 2
